"""What each header of C++'s standard library declares: names after std:: or std::ranges::, or patterns of them."""

# Not whole: what this project uses or may use. A name that is missing here fails the test that reads it.
NAMES = {
    "algorithm": r"""
        adjacent_find all_of any_of binary_search clamp copy copy_backward copy_if copy_n count count_if equal
        equal_range fill fill_n find find_first_of find_if find_if_not for_each for_each_n generate generate_n
        includes inplace_merge is_partitioned is_permutation is_sorted iter_swap lexicographical_compare
        lower_bound make_heap max max_element merge min min_element minmax minmax_element mismatch
        next_permutation none_of nth_element partial_sort partition partition_point pop_heap prev_permutation
        push_heap remove_copy_if remove_if replace replace_if reverse rotate sample search set_difference
        set_intersection set_union shuffle sort sort_heap stable_partition stable_sort swap_ranges transform
        unique unique_copy upper_bound
    """,
    "any": r"any any_cast",
    "array": r"array to_array",
    "atomic": r"atomic atomic_\w+ memory_order\w*",
    "bit": r"""
        bit_cast bit_ceil bit_floor bit_width countl_one countl_zero countr_one countr_zero endian
        has_single_bit popcount rotl rotr
    """,
    "bitset": r"bitset",
    "cctype": r"""
        isalnum isalpha isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit
        tolower toupper
    """,
    "cfenv": r"fe\w+env fe\w+except\w* fegetround fesetround",
    "charconv": r"chars_format from_chars from_chars_result to_chars to_chars_result",
    "chrono": r"chrono",
    "cmath": r"""
        abs acos asin atan atan2 cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs floor fma fmax fmin
        fmod frexp hypot ilogb isfinite isinf isnan isnormal ldexp lgamma llround log log10 log1p log2 logb
        lround nan nearbyint nextafter pow remainder rint round scalbn signbit sin sinh sqrt tan tanh tgamma
        trunc
    """,
    "compare": r"partial_ordering strong_ordering weak_ordering",
    "complex": r"complex",
    "concepts": r"""
        assignable_from constructible_from convertible_to copyable default_initializable derived_from
        floating_point integral invocable movable predicate regular same_as signed_integral unsigned_integral
    """,
    "condition_variable": r"condition_variable condition_variable_any",
    "csignal": r"raise sig_atomic_t signal",
    "cstdint": r"u?int(?:_fast|_least)?(?:8|16|32|64)_t u?int(?:max|ptr)_t",
    "cstdio": r"""
        fclose fflush fgets FILE fopen fprintf fputc fputs fread fwrite printf puts remove rename snprintf
        setvbuf sscanf tmpfile vsnprintf
    """,
    "cstdlib": r"""
        _Exit abort atexit atof atoi atoll calloc exit free getenv malloc quick_exit strtod strtol strtold
        strtoll strtoul strtoull system
    """,
    "cstring": r"memchr memcmp memcpy memmove memset strchr strcmp strcpy strerror strlen strncmp strrchr strstr",
    "ctime": r"clock ctime difftime gmtime localtime mktime strftime time time_t tm",
    "deque": r"deque",
    "exception": r"""
        current_exception exception exception_ptr make_exception_ptr rethrow_exception set_terminate terminate
        throw_with_nested uncaught_exceptions
    """,
    "filesystem": r"filesystem",
    "fstream": r"filebuf fstream ifstream ofstream",
    "functional": r"""
        bind bit_and bit_or bit_xor cref divides equal_to function greater greater_equal hash identity invoke
        less less_equal logical_and logical_or minus modulus multiplies negate not_equal_to not_fn plus ref
        reference_wrapper
    """,
    "future": r"async future promise",
    "initializer_list": r"initializer_list",
    "iomanip": r"get_time put_time quoted setfill setprecision setw",
    "iostream": r"cerr cin clog cout",
    "iterator": r"""
        advance back_inserter distance forward_iterator_tag front_inserter input_iterator inserter
        istream_iterator istreambuf_iterator iterator_traits make_reverse_iterator next ostream_iterator
        output_iterator_tag prev random_access_iterator_tag reverse_iterator
    """,
    "limits": r"numeric_limits",
    "list": r"list",
    "map": r"map multimap",
    "memory": r"""
        addressof align allocator allocator_traits assume_aligned construct_at default_delete destroy_at
        destroy_n dynamic_pointer_cast enable_shared_from_this make_shared make_unique pointer_traits
        shared_ptr static_pointer_cast uninitialized_\w+ unique_ptr weak_ptr
    """,
    "mutex": r"call_once lock_guard mutex once_flag recursive_mutex scoped_lock unique_lock",
    "new": r"align_val_t bad_alloc bad_array_new_length hardware_\w+_interference_size launder nothrow",
    "numbers": r"numbers",
    "numeric": r"""
        accumulate adjacent_difference exclusive_scan gcd inclusive_scan inner_product iota lcm midpoint
        partial_sum reduce transform_reduce
    """,
    "optional": r"make_optional nullopt nullopt_t optional",
    "queue": r"priority_queue queue",
    "random": r"\w+_distribution minstd_rand mt19937 mt19937_64 random_device",
    "ranges": r"views",
    "ratio": r"ratio",
    "regex": r"cmatch regex\w* smatch",
    "set": r"multiset set",
    "source_location": r"source_location",
    "span": r"as_bytes as_writable_bytes dynamic_extent span",
    "sstream": r"istringstream ostringstream stringstream",
    "stack": r"stack",
    "stdexcept": r"""
        domain_error invalid_argument length_error logic_error out_of_range overflow_error range_error
        runtime_error underflow_error
    """,
    "stop_token": r"stop_\w+",
    "string": r"basic_string getline stod stof stoi stol stold stoll stoul stoull string to_string u8string",
    "string_view": r"basic_string_view string_view",
    "system_error": r"""
        errc error_code error_condition generic_category make_error_code make_error_condition system_category
        system_error
    """,
    "thread": r"jthread this_thread thread",
    "tuple": r"""
        apply forward_as_tuple ignore make_from_tuple make_tuple tie tuple tuple_cat tuple_element\w*
        tuple_size\w*
    """,
    "type_traits": r"""
        add_\w+ alignment_of\w* bool_constant common_type\w* conditional\w* conjunction\w* decay\w*
        disjunction\w* enable_if\w* extent\w* false_type has_\w+_v integral_constant invoke_result\w* is_\w+
        make_signed\w* make_unsigned\w* negation\w*
        remove_(?:const|cv|cvref|extent|pointer|reference|volatile)(?:_t)? true_type type_identity\w*
        underlying_type\w* void_t
    """,
    "typeinfo": r"bad_cast type_info",
    "unordered_map": r"unordered_map unordered_multimap",
    "unordered_set": r"unordered_set",
    "utility": r"""
        as_const cmp_\w+ declval exchange forward in_place\w* in_range index_sequence\w* integer_sequence
        make_index_sequence make_integer_sequence make_pair move pair piecewise_construct swap to_underlying
    """,
    "variant": r"get_if holds_alternative monostate variant variant_alternative\w* variant_size\w* visit",
    "vector": r"vector",
}
# Those that come with the language, with every container or with every stream.
COMMON = """
    begin cbegin cend chrono_literals data empty end erase erase_if get ios nullptr_t ptrdiff_t size size_t ssize
    streamoff streamsize
"""
