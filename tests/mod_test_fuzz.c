/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * Calls mod_chroot's helpers with random input and compares each answer with a
 * simple model of what it should be. Runs in `apache2 -t', built with
 * AddressSanitizer and UBSan; what the helpers allocate from pools is
 * malloc()ed, so that each byte behind a string is guarded.
 *
 * Environment: FUZZ_SEED, FUZZ_MS (milliseconds per property), FUZZ_DIR (a
 * directory for files), FUZZ_ONLY (one property, else all). Output, a line per
 * property and one per failure:
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

/* The jail of a case, and where the configuration's paths are noted. */
static void jail_set(const char *jail)
{
    gen.jail = jail;
    gen.length = strlen(jail);
    gen.fix_root = 1;
    gen.dump = 1;
    gen.findings = apr_array_make(pool, 4, sizeof(chroot_finding));
    gen.paths = apr_array_make(pool, 4, sizeof(chroot_path));
    gen.needs = apr_hash_make(pool);
    gen.top = apr_hash_make(pool);
    gen.targets = apr_hash_make(pool);
    apr_hash_set(gen.top, "var", APR_HASH_KEY_STRING, gen.top);
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
    const char *dir = random_path(3);
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
    jail_set(dir);
    got = path_inside(path);
    if (!same(got, want)) {
        fail("path_inside(%s), jail %s, is %s, not %s", show(path), show(dir),
             show(got), show(want));
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

/* ---- Directives */

#define JAIL "/var/lib/chroot-test-fuzz/jail"

/* Any arguments of any directive: what is noted is absolute and canonical. */
static void try_look(void)
{
    static const char *const parts[] = {
        "a", "b", "\\", "\"", "'", " ", " ", "\t", ">", "<", "/", "/q",
        "\"a b\"", "\\ ", "unix:", "|", "cmd=", "\x80", "%{A}", ":", ";", "[L]",
        "[P]", "..", "/../", "/./", "//", "$1", "txt:", "dbm=x:", "expr", "-f ",
        "file(", "-d '", "file-owner", "host", "from ", "http://", "~ ", JAIL,
        JAIL "/x", "/var/x", NULL
    };
    const chroot_directive *row;
    const chroot_path *note;
    char *args = rnd(8) ? random_text(parts, rnd(200) ? 14 : 3000)
                        : apr_pstrdup(pool, ""), *name;
    int i;

    jail_set(JAIL);
    gen.fix_root = (int)rnd(2);
    row = &directives[rnd(sizeof(directives) / sizeof(*row) - 1)];
    name = apr_pstrmemdup(pool, row->names, strcspn(row->names, " "));
    current = args;
    node_look(pool, node_of(name, args), row);
    interesting += gen.paths->nelts > 0 || gen.findings->nelts > 0;
    for (i = 0; i < gen.paths->nelts; i++) {
        note = &APR_ARRAY_IDX(gen.paths, i, chroot_path);
        if (note->path[0] != '/'
            || strcmp(path_trimmed(pool, path_canonical(pool, note->path)),
                      note->path)
                   != 0) {
            fail("%s %s noted %s", name, show(args), show(note->path));
        }
    }
}

/* ---- The shell */

/* The one word that a shell reads, or NULL when it is more than that. */
static const char *model_shell(const char *text)
{
    char *word = apr_palloc(pool, strlen(text) + 1), *to = word;
    int quoted = 0;

    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            quoted = !quoted;
        }
        else if (quoted || apr_isalnum(*text) || strchr("_./+-", *text)) {
            *to++ = *text;
        }
        else if (*text == '\\' && text[1] != '\0') {
            *to++ = *++text;
        }
        else {
            return NULL;
        }
    }
    *to = '\0';
    return quoted ? NULL : word;
}

static void try_shell(void)
{
    static const char *const parts[] = { "a", "/", "'", "\"", "\\", "$(", ")",
                                         "`", ";", " ", "\n", "*", "\x80", "-",
                                         NULL };
    const char *path = apr_pstrcat(pool, "/", random_text(parts, 12), NULL);
    const char *word = shell_word(pool, path);

    interesting += word != path;
    if (!same(model_shell(word), path)) {
        fail("%s is written %s", show(path), show(word));
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
        if (start != NULL && zone_is_rule(start + 1)
            && strlen(start + 1) == (size_t)(text + n - 1 - (start + 1))) {
            want = strcmp(start + 1, "UTC0") == 0
                       ? "UTC"
                       : apr_pstrdup(pool, start + 1);
        }
    }
    interesting += want != NULL;
    if (!same(got, want) && (want == NULL || strlen(want) <= 200)) {
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
    { "any arguments are looked at", try_look },
    { "shell_word is one word", try_shell },
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
