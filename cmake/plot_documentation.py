"""Manual page and completion of headflow-plot, from its own table of options: plot_documentation.py FOLDER VERSION
OUTPUT"""
import sys
from pathlib import Path

folder, version, output = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path.insert(0, folder)
from headflow.plot import command  # noqa: E402


def roff(text):
    """Text for groff, in which nothing is a request or an escape."""
    text = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def placeholder(action):
    return " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar or action.dest.upper()


parser = command.argument_parser()
options = [action for action in parser._actions if action.option_strings]
rows = []
for action in options:
    value = "" if action.nargs == 0 else f" \\fI{roff(placeholder(action))}\\fR"
    text = action.help % vars(action) if action.help else ""
    rows += [".TP", f"\\fB{roff(', '.join(action.option_strings))}\\fR{value}", roff(text)]
Path(output, "headflow-plot.1").write_text("\n".join([
    f'.TH HEADFLOW\\-PLOT 1 "" "headflow {version}" "User Commands"', ".SH NAME",
    "headflow\\-plot \\- draw headflow's HDF5 files",
    ".SH SYNOPSIS", ".B headflow\\-plot", ".I FILE.h5 ..", "[options]", ".SH DESCRIPTION", roff(parser.description),
    ".SH OPTIONS", *rows, ".SH EXIT STATUS", "0 drawn, 2 what cannot be drawn, with one line that says why.",
    ".SH SEE ALSO", ".BR headflow (1)", ""]))

words = " ".join(name for action in options for name in action.option_strings if name.startswith("--"))
panels = " ".join(["overview", *command.PANELS, *command.PICTURES, *command.SWEEPS])
Path(output, "headflow-plot").write_text(f"""\
# bash completion of headflow-plot; where it gives nothing, bash completes names of files
_headflow_plot() {{
  local word=${{COMP_WORDS[COMP_CWORD]}}
  COMPREPLY=()
  case ${{COMP_WORDS[COMP_CWORD - 1]}} in
    --panels)
      local chosen=
      if [[ $word == *,* ]]; then chosen=${{word%,*}},; fi
      mapfile -t COMPREPLY < <(compgen -P "$chosen" -W '{panels}' -- "${{word##*,}}")
      return
      ;;
  esac
  if [[ $word == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '{words}' -- "$word"); fi
}}
complete -o bashdefault -o default -F _headflow_plot headflow-plot
""")
