/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * Calls mod_chroot's helpers with random input and compares each answer with a
 * simple model of what it should be. Runs in `apache2 -t', built with
 * AddressSanitizer and UBSan; what the helpers allocate from pools is
 * malloc()ed, so that each byte behind a string is guarded.
 *
 * Environment: FUZZ_SEED, FUZZ_MS (milliseconds per property), FUZZ_DIR (a
 * directory for files), FUZZ_ONLY (one property, else all). Output, a line per property and one per failure, which
 * is shortened as long as it fails:
 *
 *     property NAME: CASES cases, INTERESTING interesting, FAILURES failures
 *     failure NAME: what was seen
 */

#include "httpd.h"
#include "apr_pools.h"
#include "apr_strings.h"

/* ---- Pools, guarded */

static apr_status_t guarded_free(void *memory)
{
    free(memory);
    return APR_SUCCESS;
}

static void *guarded_alloc(apr_pool_t *p, apr_size_t size)
{
    char *memory = malloc(size);

    if (memory == NULL) {
        abort();
    }
    apr_pool_cleanup_register(p, memory, guarded_free, apr_pool_cleanup_null);
    return memory;
}

static char *guarded_memdup(apr_pool_t *p, const char *s, apr_size_t n)
{
    char *copy;

    if (s == NULL) {
        return NULL;
    }
    copy = guarded_alloc(p, n + 1);
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

static char *guarded_dup(apr_pool_t *p, const char *s)
{
    return s != NULL ? guarded_memdup(p, s, strlen(s)) : NULL;
}

static char *(*const plain_pstrcat)(apr_pool_t *, ...) = apr_pstrcat;

#undef apr_palloc
#define apr_palloc guarded_alloc
#define apr_pstrdup guarded_dup
#define apr_pstrmemdup guarded_memdup
#define apr_pstrcat(p, ...) guarded_dup(p, plain_pstrcat(p, __VA_ARGS__))

#include "../mod_chroot.c"

/* ---- Random input */

static apr_uint64_t state;
static apr_pool_t *pool; /* cleared for each case */
static const char *property;
static long cases, interesting, failures;
static int any_failure;
static const char *current = ""; /* said when a sanitizer ends the process */

void __sanitizer_set_death_callback(void (*callback)(void));

static void say_current(void)
{
    printf("failure %s: a sanitizer's report about \"%.300s\"\n", property,
           current);
    fflush(stdout);
}

static unsigned rnd(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 16) % n);
}

/* Up to max words out of a list, one after the other. */
static char *random_text(const char *const *words, int max)
{
    char *text = apr_pstrdup(pool, "");
    int count = 0, n;

    while (words[count] != NULL) {
        count++;
    }
    for (n = (int)rnd(max + 1); n > 0; n--) {
        text = apr_pstrcat(pool, text, words[rnd(count)], NULL);
    }
    return text;
}

/* Readable: what is not ASCII as \xNN. */
static const char *show(const char *s)
{
    char *out, *o;

    if (s == NULL) {
        return "NULL";
    }
    out = o = apr_palloc(pool, 4 * strlen(s) + 3);
    *o++ = '<';
    for (; *s != '\0' && o - out < 600; s++) {
        if (*s >= ' ' && *s <= '~') {
            *o++ = *s;
        }
        else {
            o += sprintf(o, "\\x%02x", (unsigned char)*s);
        }
    }
    *o++ = '>';
    *o = '\0';
    return out;
}

static void fail(const char *format, ...)
{
    va_list args;

    any_failure = 1;
    if (failures++ < 12) {
        va_start(args, format);
        printf("failure %s: %s\n", property,
               apr_pvsprintf(pool, format, args));
        va_end(args);
    }
}

/* The jail of a case, by its only spelling. */
static void roots_set(const char *outer, const char *inner)
{
    gen.jail = outer;
    gen.roots = apr_array_make(pool, 4, sizeof(chroot_root));
    gen.findings = apr_array_make(pool, 4, sizeof(chroot_finding));
    gen.fix_root = 1;
    gen.targets = apr_array_make(pool, 4, sizeof(const char *));
    gen.access_names = apr_array_make(pool, 4, sizeof(const char *));
    root_add(outer, inner);
}

/* ---- Words */

static void try_word(void)
{
    static const char *const parts[] = { "a", "\\", "\"", "'", " ", "\t", ">",
                                         "<", "\n", "\x80", "\xff", "#", "%",
                                         "\\\\", "\\\"", NULL };
    char *word = random_text(parts, rnd(50) ? 12 : 3000);
    const char *line = apr_pstrcat(pool, word_quoted(pool, word),
                                   rnd(2) ? " next" : "", NULL);
    const char *rest = line, *back;

    interesting += *word != '\0';
    back = ap_getword_conf(pool, &rest);
    if (strcmp(back, word) != 0 || (*rest != '\0' && strcmp(rest, "next"))) {
        fail("%s written %s read %s", show(word), show(line), show(back));
    }
}

/* ---- Paths */

static const char *random_path(int max)
{
    static const char *const names[] = { "/a", "/b", "/ab", "/a b", "/c", NULL };
    char *path = random_text(names, max);

    return *path != '\0' ? path : "/";
}

/* The components of a path. */
static apr_array_header_t *components(const char *path)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(char *));
    char *last, *one, *copy = strdup(path);

    for (one = apr_strtok(copy, "/", &last); one != NULL;
         one = apr_strtok(NULL, "/", &last)) {
        APR_ARRAY_PUSH(list, char *) = apr_pstrdup(pool, one);
    }
    free(copy);
    return list;
}

/* What is left of path behind dir, component by component, or NULL. */
static const char *model_below(const char *path, const char *dir)
{
    apr_array_header_t *a = components(path), *b = components(dir);
    const char *rest = "";
    int i;

    if (a->nelts < b->nelts) {
        return NULL;
    }
    for (i = 0; i < a->nelts; i++) {
        if (i >= b->nelts) {
            rest = apr_pstrcat(pool, rest, "/", APR_ARRAY_IDX(a, i, char *),
                               NULL);
        }
        else if (strcmp(APR_ARRAY_IDX(a, i, char *),
                        APR_ARRAY_IDX(b, i, char *))) {
            return NULL;
        }
    }
    return *rest == '\0' ? "/"
           : path[strlen(path) - 1] == '/' ? apr_pstrcat(pool, rest, "/", NULL)
                                           : rest;
}

static int same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void try_path(void)
{
    const char *dir = random_path(3), *other = random_path(3);
    const char *path = apr_pstrdup(pool, random_path(5));
    const char *got, *want;

    if (path[1] != '\0' && rnd(4) == 0) {
        path = apr_pstrcat(pool, path, "/", NULL);
    }
    dir = apr_pstrdup(pool, dir);
    got = path_below(path, dir);
    want = model_below(path, dir);
    interesting += want != NULL;
    if (!same(got, want)) {
        fail("path_below(%s, %s) is %s, not %s", show(path), show(dir),
             show(got), show(want));
    }
    roots_set(dir, "/");
    root_add(other, "/w/x");
    got = path_inside(pool, path);
    if (want == NULL) {
        want = model_below(path, other);
        if (want != NULL) {
            want = apr_pstrcat(pool, "/w/x", want[1] ? want : "", NULL);
        }
    }
    if (!same(got, want)) {
        fail("path_inside(%s), roots %s and %s at /w/x, is %s, not %s",
             show(path), show(dir), show(other), show(got), show(want));
    }
}

static ap_directive_t *node_of(const char *directive, const char *args)
{
    ap_directive_t *node = apr_pcalloc(pool, sizeof(*node));

    node->directive = directive;
    node->args = apr_pstrdup(pool, args);
    node->filename = "fuzz.conf";
    return node;
}

/* ---- <Directory> */

/* Whether httpd applies <Directory pattern> to a directory or something in it
 * (request.c, ap_directory_walk): path has no slash at its end. */
static int httpd_applies(const char *pattern, const char *path)
{
    const char *d = apr_pstrcat(pool, pattern,
                                pattern[strlen(pattern) - 1] == '/' ? "" : "/",
                                NULL);
    int is_pattern = apr_fnmatch_test(d);
    const char *name;
    size_t length;

    if (strcmp(d, "/") == 0) {
        return 1;
    }
    for (length = 1; length <= strlen(path); length++) {
        if (path[length] != '/' && path[length] != '\0') {
            continue;
        }
        name = apr_pstrcat(pool, apr_pstrmemdup(pool, path, length), "/", NULL);
        if (ap_count_dirs(name) == ap_count_dirs(d)
            && (is_pattern
                    ? apr_fnmatch(d, name, APR_FNM_PATHNAME) == APR_SUCCESS
                    : strcmp(d, name) == 0)) {
            return 1;
        }
    }
    return 0;
}

/* What is wrong with how a section is translated, or NULL: for any directory
 * in the jail it must apply inside exactly when it did outside. */
static const char *lie_wrong(const char *pattern, const char *path)
{
    chroot_root *root = &APR_ARRAY_IDX(gen.roots, 0, chroot_root);
    const char *outer = apr_pstrcat(pool, root->outer, path, NULL);
    const char *inside = "";
    chroot_lie lie = section_lies(pool, pattern, root, &inside);
    int before = httpd_applies(pattern, outer), after;

    after = lie == LIES_OUTSIDE ? 0 : httpd_applies(inside, path);
    if (lie == LIES_AT || lie == LIES_ABOVE) {
        after = 1;
    }
    interesting += before;
    return before == after
               ? NULL
               : apr_psprintf(pool, "<Directory %s> %s to %s; in the jail %s "
                              "(lie %d) as %s it %s to %s",
                              show(pattern), before ? "applies" : "does not",
                              show(outer), show(root->outer), lie,
                              show(inside), after ? "applies" : "does not",
                              show(path));
}

/* Leaves one character after the other out of s while it stays wrong. */
static const char *shortened(const char *s, const char *other,
                             const char *(*wrong)(const char *, const char *))
{
    const char *less;
    size_t i = 0;

    while (s[i] != '\0') {
        less = apr_pstrcat(pool, apr_pstrmemdup(pool, s, i), s + i + 1, NULL);
        if (*less == '/' && wrong(less, other) != NULL) {
            s = less;
        }
        else {
            i++;
        }
    }
    return s;
}

static void try_section_of(const char *const *parts)
{
    static const char *const jails[] = { "/a", "/a/b", "/ab/a", NULL };
    char *pattern = apr_pstrcat(pool, "/", random_text(parts, 9), NULL);
    const char *path = random_path(3), *wrong;
    int before = (int)interesting;
    ap_directive_t *node;

    roots_set(jails[rnd(3)], "/");
    if (path_canonical(pool, pattern) == NULL || pattern[1] == '\0') {
        return;
    }
    pattern = (char *)path_trimmed(pool, path_canonical(pool, pattern));
    if (pattern[1] == '\0' || path[1] == '\0') {
        return;
    }
    if (strchr(pattern, '\\') != NULL
        && apr_fnmatch_test(apr_pstrcat(pool, pattern, "/", NULL))) {
        node = node_of("<Directory", apr_pstrcat(pool,
                       word_quoted(pool, pattern), ">", NULL));
        section_compile(pool, pool, node);
        if (strcmp(node->directive, NODE_ERROR) != 0) {
            fail("<Directory %s>, a pattern with a backslash, is accepted",
                 show(pattern));
        }
        return;
    }
    wrong = lie_wrong(pattern, path);
    if (wrong != NULL) {
        pattern = (char *)shortened(pattern, path, lie_wrong);
        fail("%s", lie_wrong(pattern, path));
    }
    interesting = before + (interesting > before);
}

static void try_section(void)
{
    static const char *const parts[] = { "a", "b", "ab", "/", "/", "/a", "/b",
                                         "*", "?", "[", "]", "[ab]", "[^a]",
                                         "[!a]", "a-b", ".", " ", NULL };
    try_section_of(parts);
}

static void try_section_backslash(void)
{
    static const char *const parts[] = { "a", "b", "ab", "/", "/a", "/b", "*",
                                         "?", "[a]", "\\", "\\a", NULL };
    try_section_of(parts);
}

/* ---- Regular expressions */

static int option_flags;

/* 1 and 0: matches or not; -1: is none, or too hard. */
static int regex_matches(const char *re, const char *text)
{
    ap_regex_t preg;
    int rv;

    if (ap_regcomp(&preg, re, AP_REG_EXTENDED | option_flags) != 0) {
        return -1;
    }
    rv = ap_regexec(&preg, text, 0, NULL, 0);
    ap_regfree(&preg);
    return rv == 0 ? 1 : rv == AP_REG_NOMATCH ? 0 : -1;
}

static const char *regex_wrong(const char *path, const char *re)
{
    chroot_root *root = &APR_ARRAY_IDX(gen.roots, 0, chroot_root);
    const char *inside, *outer, *inner;
    int before, after;

    current = re;
    inside = regex_inside(pool, re);
    if (inside == NULL) {
        return NULL;
    }
    outer = apr_pstrcat(pool, root->outer, path, NULL);
    inner = apr_pstrcat(pool, root->inner[1] ? root->inner : "", path, NULL);
    before = regex_matches(re, outer);
    if (before == -1) {
        return NULL;
    }
    after = regex_matches(inside, inner);
    interesting += before;
    return before == after
               ? NULL
               : apr_psprintf(pool, "%s %s %s; in the jail %s it becomes %s, "
                              "which %s %s",
                              show(re), before ? "matches" : "does not match",
                              show(outer), show(root->outer), show(inside),
                              after == 1   ? "matches"
                              : after == 0 ? "does not match"
                                           : "is none for",
                              show(inner));
}

static void try_regex_of(const char *const *parts)
{
    static const char *const jails[] = { "/a", "/a/b", "/ab/a", "/a.b", NULL };
    static const char *const letters[] = { "/", "/", "a", "b", "x", "A", "X",
                                           ".", "/a/b", "|", "(", NULL };
    const char *jail = jails[rnd(4)], *path, *less, *wrong, *shortest;
    char *re = random_text(parts, 9);
    size_t i;
    int n;

    roots_set(jail, rnd(4) ? "/" : "/w");
    if (rnd(3) == 0) {
        re = apr_pstrcat(pool, "^", jail, rnd(3) ? "/" : "", re, NULL);
    }
    if (rnd(4) == 0) {
        re = apr_pstrcat(pool, re, "|", random_text(parts, 4), NULL);
    }
    for (n = 0; n < 4; n++) {
        path = apr_pstrcat(pool, "/", random_text(letters, 5), NULL);
        if (regex_wrong(path, re) == NULL) {
            continue;
        }
        path = shortened(path, re, regex_wrong);
        shortest = re;
        for (i = 0; shortest[i] != '\0';) {
            less = apr_pstrcat(pool, apr_pstrmemdup(pool, shortest, i),
                               shortest + i + 1, NULL);
            wrong = regex_wrong(path, less);
            if (wrong != NULL) {
                shortest = less;
                i = 0;
            }
            else {
                i++;
            }
        }
        fail("%s", regex_wrong(path, shortest));
        break;
    }
}

#define REGEX_PLAIN \
    "a", "b", "x", "y", "/", "/", ".", "*", "+", "?", "^", "$", "|", "(", ")", \
    ")", "(?:", "(x", "(a", ".*", "^.*", "[ab]", "[^x]", "[^/]+", "[]x]", \
    "{2}", "{0}", "{0,1}", "/a/b", "^/a", "^/a/", "\\.", "\\/", "x|", "/x", \
    "x(", "x$"

static void try_regex(void)
{
    static const char *const parts[] = { REGEX_PLAIN, NULL };

    try_regex_of(parts);
}

static void try_regex_perl(void)
{
    static const char *const parts[] = {
        REGEX_PLAIN, "[", "]", "\\", "[[:alpha:]]", "[[:", "[^]", ":]", "(?=",
        "(?!", "(?<=", "(?<!", "(?<n>", "(?>", "\\b", "\\B", "\\A", "\\z", "\\1",
        "\\d", "\\w", "\\x61", "\\K", "(?R)", "\\G", "-", NULL
    };

    try_regex_of(parts);
}

/* What few people write. */
static void try_regex_rare(void)
{
    static const char *const parts[] = {
        REGEX_PLAIN, "(?i)", "(?i:", "(?x)", "(?m)", "(?|", "(?#", "(?#(", "\\Q",
        "\\E", "[\\Q]", "\\c", "\\c\\", "\\c[", "(?<*", "(*plb:", "(*nlb:",
        "(*:[)", "(*SKIP)", "(*COMMIT)", "(?C'(')", "[[:<:]]", "[", "]", "A",
        "x(?i)|A", "[[:]", "x[[:]|a", "x(*plb:a/x)", "x(?<*a/x)", NULL
    };

    try_regex_of(parts);
}

/* RegexDefaultOptions +ICASE */
static void try_regex_icase(void)
{
    static const char *const parts[] = { REGEX_PLAIN, "A", "B", "X", "^/A/",
                                         NULL };

    option_flags = AP_REG_ICASE;
    try_regex_of(parts);
    option_flags = 0;
}

/* Any bytes: only sanitizers look. */
static void try_regex_bytes(void)
{
    int length = (int)rnd(rnd(20) ? 24 : 400);
    char *re = apr_palloc(pool, length + 1);
    const char *special = "\\[]()^$.|?*+{}:=<!>/ab";
    int i;

    for (i = 0; i < length; i++) {
        re[i] = rnd(3) ? special[rnd(22)] : (char)(1 + rnd(255));
    }
    re[length] = '\0';
    current = re;
    roots_set("/a/b", "/");
    interesting += regex_inside(pool, re) != NULL;
}

/* ---- Raw arguments */

#define JAIL "/var/lib/chroot-test-fuzz/jail"

static char *random_args(void)
{
    static const char *const parts[] = {
        "a", "b", "\\", "\"", "'", " ", " ", "\t", ">", "<", "/", "/q",
        "\"a b\"", "\\ ", "unix:", "|", "cmd=", "\x80", "%{A}", ":", ";", "[L]",
        NULL
    };

    return random_text(parts, rnd(200) ? 14 : 30000);
}

static void translate(ap_directive_t *node, const chroot_directive *row)
{
    chroot_words words = node_words(pool, node, row->raw);

    node_translate(pool, pool, node, row, &words);
}

static void try_node(void)
{
    const chroot_directive *row;
    chroot_words words;
    ap_directive_t *node;
    char *args = random_args();
    const char *name;

    roots_set(JAIL, "/");
    do {
        row = &directives[rnd(sizeof(directives) / sizeof(*row) - 1)];
    } while (row->translate == NULL);
    if (strlen(args) > 300 && row->word == EACH) {
        args[300] = '\0';
    }
    while (apr_isspace(*args)) {
        args++;
    }
    current = args;
    name = apr_pstrmemdup(pool, row->names, strcspn(row->names, " "));
    node = node_of(name, args);
    interesting += *args != '\0';
    words = node_words(pool, node, row->raw);
    node_map(pool, node, row, &words);
    section_compile(pool, pool, node_of("<Directory", args));
    section_compile(pool, pool, node_of("<DirectoryMatch", args));
    node_scan(pool, pool, node_of("Unknown", args), NULL);
    node_translate(pool, pool, node, row, &words);
    if (row->translate != outer_path && row->translate != inner_alias
        && strcmp(name, "UserDir") != 0
        && strcmp(node->args, args) != 0) { /* those move what is outside */
        fail("%s %s became %s", name, show(args), show(node->args));
    }
    translate(node_of(name, apr_pstrcat(pool, args, JAIL, args, NULL)), row);
}

/* Splits as modules do that take words: what ap_getword_conf() reads. */
static apr_array_header_t *model_words(const char *args)
{
    apr_array_header_t *words = apr_array_make(pool, 4, sizeof(char *));

    while (*args != '\0') {
        APR_ARRAY_PUSH(words, char *) = ap_getword_conf(pool, &args);
    }
    return words;
}

/* Splits as mod_rewrite does (mod_rewrite.c, parseargline). */
static apr_array_header_t *model_rewrite(const char *args)
{
    apr_array_header_t *words = apr_array_make(pool, 4, sizeof(char *));
    const char *start;
    char quote;

    for (;;) {
        while (apr_isspace(*args)) {
            args++;
        }
        if (*args == '\0' || words->nelts == 3) {
            return words;
        }
        quote = *args == '"' || *args == '\'' ? *args++ : '\0';
        start = args;
        while (*args != '\0'
               && (quote ? *args != quote : !apr_isspace(*args))) {
            args += *args == '\\' && apr_isspace(args[1]) ? 2 : 1;
        }
        APR_ARRAY_PUSH(words, char *) = apr_pstrmemdup(pool, start,
                                                       args - start);
        args += *args != '\0';
    }
}

/* ap_cfg_getline() leaves no blanks at the ends of a line. */
static const char *line_trimmed(const char *args)
{
    char *copy, *end;

    while (apr_isspace(*args)) {
        args++;
    }
    copy = apr_pstrdup(pool, args);
    for (end = copy + strlen(copy); end > copy && apr_isspace(end[-1]);) {
        *--end = '\0';
    }
    return copy;
}

/* Whether two lists differ other than by the jail in word n; "/./" tells
 * mod_rewrite that it is a file. */
static int differ(apr_array_header_t *a, apr_array_header_t *b, int n)
{
    const char *x, *y;
    int i;

    if (a->nelts != b->nelts) {
        return 1;
    }
    for (i = 0; i < a->nelts; i++) {
        x = APR_ARRAY_IDX(a, i, char *);
        y = APR_ARRAY_IDX(b, i, char *);
        if (i == n && strncmp(x, JAIL "/", strlen(JAIL "/")) == 0) {
            x += strlen(JAIL);
            y += strncmp(y, "/./", 3) == 0 ? 2 : 0;
        }
        if (strcmp(x, y) != 0) {
            return 1;
        }
    }
    return 0;
}

static const chroot_directive *row_of(const char *name)
{
    return node_row(rows_make(pool), node_of(name, ""));
}

/* The words around a translated one. */
static const char *rule_wrong(const char *before, const char *after)
{
    const char *args = apr_pstrcat(pool, before, " \"" JAIL "/x\" ", after,
                                   NULL);
    ap_directive_t *node;
    apr_array_header_t *words;

    args = line_trimmed(args);
    words = model_rewrite(args);
    if (words->nelts < 2
        || strcmp(APR_ARRAY_IDX(words, 1, char *), JAIL "/x") != 0) {
        return NULL;
    }
    words->nelts = words->nelts > 3 ? 3 : words->nelts;
    interesting++;
    node = node_of("RewriteRule", args);
    if (words->nelts > 2 && rule_is_url((char **)words->elts)) {
        return NULL;
    }
    translate(node, row_of("RewriteRule"));
    return differ(words, model_rewrite(node->args), 1)
               ? apr_psprintf(pool, "RewriteRule %s became %s", show(args),
                              show(node->args))
               : NULL;
}

static void try_rule(void)
{
    static const char *const parts[] = { "a", "\\", "\"", "'", "\\ ", "\\\\",
                                         " ", "^", ".", "\\\"", NULL };
    char *before = apr_pstrcat(pool, rnd(3) ? "/" : "\"/",
                               random_text(parts, 6), NULL);
    const char *after = rnd(2) ? "[L]" : "";

    roots_set(JAIL, "/");
    if (rule_wrong(before, after) != NULL) {
        fail("%s", rule_wrong(shortened(before, after, rule_wrong), after));
    }
}

/* A directive's words are those that ap_getword_conf() reads. */
static void try_split(void)
{
    static const char *const parts[] = { "a", "\\", "\"", "'", " ", "\t", "\v",
                                         "\f", "\r", "\\\\", "\\\"", "\\'",
                                         "\"a b\"", "\x80", NULL };
    const char *args = line_trimmed(random_text(parts, rnd(50) ? 12 : 3000));
    apr_array_header_t *model = model_words(args);
    chroot_words words = node_words(pool, node_of("x", args), 0);
    int i;

    interesting += model->nelts > 1;
    for (i = 0; i < model->nelts && i < words.count; i++) {
        if (strcmp(words.word[i], APR_ARRAY_IDX(model, i, char *)) != 0) {
            break;
        }
    }
    if (i < model->nelts || i < words.count || words.word[i] != NULL) {
        fail("%s was split in another way", show(args));
    }
}

static void try_words(void)
{
    static const char *const parts[] = { "a", "\\", "\"", "'", "\"a b\"",
                                         "\\\\", " ", " ", ">", "\\\"", NULL };
    const char *args = apr_pstrcat(pool, "x ", JAIL "/x ",
                                   random_text(parts, 8), NULL);
    apr_array_header_t *words;
    ap_directive_t *node;

    args = line_trimmed(args);
    words = model_words(args);
    node = node_of("LuaMapHandler", args);
    roots_set(JAIL, "/");
    interesting += words->nelts > 2;
    translate(node, row_of("LuaMapHandler"));
    if (differ(words, model_words(node->args), 1)) {
        fail("LuaMapHandler %s became %s", show(args), show(node->args));
    }
}

/* ---- Time zones */

static void zone_compare(const char *path)
{
    char *text = NULL, *start, *want = NULL;
    const char *got = zone_rule(pool, path);
    FILE *file = fopen(path, "re");
    size_t n = 0;

    if (file != NULL) {
        text = calloc(1, 1 << 20);
        n = fread(text, 1, (1 << 20) - 1, file);
        fclose(file);
    }
    if (n > 5 && memcmp(text, "TZif", 4) == 0 && text[n - 1] == '\n') {
        text[n - 1] = '\0';
        start = memrchr(text, '\n', n - 1);
        if (start != NULL && start[1] != '\0') {
            want = apr_pstrdup(pool, start + 1);
        }
    }
    interesting += want != NULL;
    if (!same(got, want) && !(got == NULL && strlen(want) > 200)) {
        fail("%s (%d bytes): %s, not %s", path, (int)n, show(got), show(want));
    }
    free(text);
}

static void try_zone(void)
{
    static const char *const parts[] = { "TZif", "\n", "<+03>-3", "CET-1", "3",
                                         "+", "-", "<", ">", "a", "Z", "\xff",
                                         ":", "/", NULL };
    const char *path = apr_pstrcat(pool, getenv("FUZZ_DIR"), "/zone", NULL);
    const char *text = random_text(parts, 12);
    size_t fill = rnd(3) ? rnd(600) : 0;
    char *zeros = apr_palloc(pool, fill + 1);
    FILE *file = fopen(path, "we");

    interesting += zone_is_rule(text) != 0;
    memset(zeros, rnd(2) ? 0 : 'x', fill + 1);
    if (rnd(4)) {
        fputs("TZif2", file);
    }
    fwrite(zeros, 1, fill, file);
    fputs(text, file);
    if (rnd(2)) {
        fputs("\n<+04>-4\n", file);
    }
    fclose(file);
    zone_compare(path);
}

static void zones(void)
{
    static const char *const names[] = {
        "Asia/Dubai", "Asia/Tokyo", "Europe/Berlin", "Etc/GMT+5", "UTC",
        "America/New_York", NULL
    };
    int i;

    property = "zone files of the system";
    cases = interesting = failures = 0;
    for (i = 0; names[i] != NULL; i++, cases++) {
        apr_pool_clear(pool);
        zone_compare(apr_pstrcat(pool, TZDIR "/", names[i], NULL));
    }
    printf("property %s: %ld cases, %ld interesting, %ld failures\n", property,
           cases, interesting, failures);
}

/* ---- All of them */

static const struct {
    const char *name;
    void (*try_one)(void);
} properties[] = {
    { "word_quoted is read back", try_word },
    { "path_below and path_inside", try_path },
    { "section_lies", try_section },
    { "section_lies with backslashes", try_section_backslash },
    { "regex_inside, common syntax", try_regex },
    { "regex_inside, Perl syntax", try_regex_perl },
    { "regex_inside, rare syntax", try_regex_rare },
    { "regex_inside, RegexDefaultOptions ICASE", try_regex_icase },
    { "regex_inside, any bytes", try_regex_bytes },
    { "directives without the jail stay", try_node },
    { "words are split as httpd does", try_split },
    { "words around a translated one stay", try_words },
    { "words of a RewriteRule stay", try_rule },
    { "zone_rule", try_zone },
};

static void fuzz_test_config(apr_pool_t *p, server_rec *s)
{
    const char *seed = getenv("FUZZ_SEED"), *ms = getenv("FUZZ_MS");
    const char *only = getenv("FUZZ_ONLY");
    apr_time_t length = apr_time_from_msec(ms != NULL ? atol(ms) : 500);
    apr_time_t end;
    size_t i;

    apr_pool_create(&pool, p);
    __sanitizer_set_death_callback(say_current);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
        state = 88172645463325252u + (seed != NULL ? atol(seed) : 1) * 7919;
        property = properties[i].name;
        if (only != NULL && strcmp(only, property) != 0) {
            continue;
        }
        cases = interesting = failures = 0;
        end = apr_time_now() + length;
        do {
            apr_pool_clear(pool);
            memset(&gen, 0, sizeof(gen));
            properties[i].try_one();
        } while (++cases % 16 != 0 || apr_time_now() < end);
        printf("property %s: %ld cases, %ld interesting, %ld failures\n",
               property, cases, interesting, failures);
    }
    if (only == NULL || strcmp(only, "zone files of the system") == 0) {
        zones();
    }
    exit(any_failure);
}

static void fuzz_register_hooks(apr_pool_t *p)
{
    ap_hook_test_config(fuzz_test_config, NULL, NULL, APR_HOOK_FIRST);
}

module AP_MODULE_DECLARE_DATA test_fuzz_module = {
    STANDARD20_MODULE_STUFF,
    .register_hooks = fuzz_register_hooks,
};
