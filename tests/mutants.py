"""Small mistakes in C++ sources, and how all of them are compiled at once."""
import random
import re

from coverage import blank

FOLDERS = ["src/core/exact_sum", "src/population", "src/flow", "src/restart", "src/sweep", "src/sgd", "src/saddle"]
# Binary operators stand between spaces, as clang-format leaves them; pointers, templates and signs do not.
OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=",
             "!=": "==", "&&": "||", "||": "&&", "+=": "-=", "-=": "+=", "*=": "/="}
CONSTANTS = {"0": "1", "1": "2", "2": "1", "0.0": "1.0", "1.0": "2.0", "0.5": "1.0", "2.0": "1.0"}


def in_one_line(text):
    return " ".join(text.split())


def closing(text, start):
    """Where the bracket at `start` is closed."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0:
            return place
    return len(text) - 1


def expression(code, start, end):
    """(start, end) of the whole expression in which an operator stands: up to the next bracket, comma, assignment .."""
    depth = 0
    while start > 0:
        before = code[start - 1]
        depth += (before in ")]}") - (before in "([{")
        if depth < 0 or depth == 0 and (
                before in ",;?" or before == ":" and "::" not in code[start - 2:start + 1] or
                before == "=" and code[start - 2] not in "=!<>" and code[start] != "=" or
                before == "}" and code[start] == "\n" or code[:start].endswith("return")):
            break
        start -= 1
    while end < len(code) and code[end] not in ")]},;?" and (
            code[end] != ":" or "::" in code[end - 1:end + 2]):
        end = closing(code, end) + 1 if code[end] in "([{" else end + 1
    return start + len(code[start:end]) - len(code[start:end].lstrip()), end


def mistakes(text):
    """[(kind, start, end, what stands there then)]"""
    code = blank(text)
    found = []
    for match in re.finditer(r"(?<=[ ])(\+=|-=|\*=|<=|>=|==|!=|&&|\|\||[-+*/<>])(?=[ \n])", code):
        found.append(("operator", *match.span(), OPERATORS[match[0]]))
    for match in re.finditer(r"(?<![\w.'])(\d+\.\d+|\d+)(?![\w.'])", code):
        if match[0] in CONSTANTS:
            found.append(("constant", *match.span(), CONSTANTS[match[0]]))
    for match in re.finditer(r"\bfor \([^;()]*; [^;]*? [<>]=? ([^;&]+?)(?: &&[^;]*)?;", code):
        found += [("bound", *match.span(1), f"{match[1]} {change} 1") for change in "+-"]
    for match in re.finditer(r"\b(?:if|while) \(", code):
        end = closing(code, match.end() - 1)
        if ";" not in code[match.end():end]:
            found.append(("condition", match.end(), end, f"!({text[match.end():end]})"))
    for match in re.finditer(r"(?<=[;{}])\s*\n\s+([\w.:>()\[\]-]+(?: [-+*/|&]?= [^;{}]+|\([^;{}]*\));|"
                             r"(?:return|continue|break);)(?= *\n)", code):
        if not re.match(r"(?:return|using|static_assert)\b.", match[1]):
            found.append(("statement", *match.span(1), ";"))
    return found


def switch(text, number, mistake):
    """(start, end, what to write before, what behind), with which the mutant of this number can be chosen"""
    kind, start, end, change = mistake
    if kind == "statement":
        return start, end, f"if (!mutation::is({number})) ", ""
    if kind == "condition":
        return start, end, f"mutation::is({number}) != bool(", ")"
    first, last = start, end
    if kind == "operator":
        code = blank(text)
        first, last = expression(code, start, end)
        if change.endswith("=") and change[0] in "+-*/":
            first = start - len(re.search(r"[\w.:>()\[\]-]+ $", code[:start])[0])
    changed = in_one_line(text[first:start] + change + text[end:last])
    return first, last, f"(mutation::is({number}) ? ({changed}) : (", "))"


def switched(text, switches):
    """The text with these switches, the inner ones within the outer."""
    places = [(first, 1, -last, number, before) for number, (first, last, before, _) in switches.items()]
    places += [(last, 0, -first, -number, behind) for number, (first, last, _, behind) in switches.items()]
    for place, *_, inserted in sorted(places, reverse=True):
        text = text[:place] + inserted + text[place:]
    return '#include "mutation.hpp"\n' + text


def mutants(copy, seed):
    """All mutants of the copy: the folders take turns, and in each folder the kinds."""
    chance = random.Random(seed)
    by_folder = []
    for folder in FOLDERS:
        kinds = {}
        for path in sorted([*copy.glob(f"{folder}*.?pp"), *copy.glob(f"{folder}/*.?pp")]):
            for kind, *change in mistakes(path.read_text()):
                kinds.setdefault(kind, []).append((folder, path.relative_to(copy), (kind, *change)))
        for those in kinds.values():
            chance.shuffle(those)
        turns = [[those.pop() for those in kinds.values() if those] for _ in range(max(map(len, kinds.values())))]
        by_folder.append([mutant for turn in turns for mutant in chance.sample(turn, len(turn))])
    longest = max(map(len, by_folder))
    return [those[i] for i in range(longest) for those in by_folder if i < len(those)]
