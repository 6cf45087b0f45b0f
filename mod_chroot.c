/* Licensed under the Apache License, Version 2.0: see the file LICENSE. */

/*
 * mod_chroot: lock every process that can touch a request into a directory
 * that holds nothing but web content. The parent stays outside, so logs, pid
 * files, certificates and graceful restarts work as ever.
 *
 *     LoadModule chroot_module modules/mod_chroot.so
 *     ChrootDir /srv/www
 *     ChrootFixRoot On
 *
 * Read it from top to bottom and it tells the life of a generation: the
 * configuration is compiled, the jail is opened and tried, children enter it,
 * requests are mapped into it.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "ap_mpm.h"
#include "mod_status.h"
#include "mpm_common.h"
#include "scoreboard.h"
#include "unixd.h"
#include "apr_dbm.h"
#include "apr_fnmatch.h"
#include "apr_hash.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <link.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#endif

/* configure says whether late chroot is wanted; it takes Linux's clone(2) */
#if !defined(CHROOT_LATE) || !defined(CLONE_FS)
#undef CHROOT_LATE
#define CHROOT_LATE 0
#endif

/* ChrootFixRoot Mount takes Linux 5.12, and headers that know its calls, by
 * the kernel's own names: libc has them or not, or others. Those of umount2(2)
 * and openat(2). */
#if defined(__linux__) && defined(SYS_mount_setattr) && defined(SYS_openat2)
#define CHROOT_VIEW 1
#else
#define CHROOT_VIEW 0
#endif
#if CHROOT_VIEW
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#endif

/* Elsewhere an ordinary descriptor does; the jail is never read through it */
#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

/* How many descriptors are tried one by one where a limit is "unlimited":
 * Linux's default of fs.nr_open, proc_sys_fs(5) */
#define DESCRIPTORS_MAX (1L << 20)

/* Milliseconds: how often a jailer looks whether its child is still there */
#define JAILER_POLL 1000

/* Bytes: two system calls and a signal-free life need far less */
#define JAILER_STACK (64 * 1024)

/* Where, with FixRoot on, the paths of requests that lead out of the jail are
 * moved to: a name that jails do not have. What was served is not found. */
#define OUTSIDE "/(outside)"

/* How a RewriteRule's substitution, or an Alias, begins that is an inner path:
 * no path is like that when httpd has made it canonical, and mod_rewrite takes
 * it for a file whatever follows (prefix_stat). */
#define INNER_TARGET "/./"

/* Hooks that no other module's may come before, or after: modules do write
 * APR_HOOK_REALLY_FIRST - 10 */
#define OUTERMOST 1000

/* Directives that stand in the tree only, and which nobody can write, for
 * the blank: an error that waits to be returned, and the depth that a section
 * had outside. */
#define NODE_ERROR   "ChrootDir error"
#define NODE_SECTION "ChrootDir section"

/* How much of a jail is looked at, at start: directories this deep, entries of
 * each, and in all. Enough for what is copied into a jail by mistake, and
 * fast. */
#define INSPECT_DEPTH     2
#define INSPECT_DIRECTORY 1024
#define INSPECT_ENTRIES   4096

/* How wide a path may make its column of the report */
#define REPORT_COLUMN 36

/* FcgidIPCDir when it is not set, in Debian */
#define FCGID_SOCKETS "/var/lib/apache2/fcgid/sock"

/* How many lists the names of directives are kept in */
#define ROW_LISTS 1024

/* After how many directives temporary memory is used again */
#define NODES_BATCH 64

/* How many of the configuration's paths are looked at, at start and at
 * configtest; all for the report */
#define LOOK_PATHS 1024

/* A child that could not be confined waits this long before it goes, so that
 * the parent tries again once a second at most */
#define SICK_PAUSE apr_time_from_sec(1)

/* tzfile(5): the rule is the last line; longer ones are not in use */
#define ZONE_RULE_MAX 256
#ifndef TZDIR
#define TZDIR "/usr/share/zoneinfo"
#endif

/* What a probe of the way into the jail says, as its exit status */
typedef enum {
    PROBE_OK = 0,
    PROBE_NO_JAILER = 1,            /* clone(CLONE_FS) is forbidden */
    PROBE_NO_SEARCH = 2,            /* User cannot look anything up */
    PROBE_FAILED = APEXIT_CHILDSICK /* something else, which was logged */
} chroot_probe;

/* What the jailer answers: the call that failed, and why; or nothing */
typedef struct {
    const char *call;
    int error;
} chroot_answer;

/* A directory outside that is, or is in, the jail, by the spelling that the
 * configuration uses: the canonical path of the jail, ChrootDir as written,
 * or a path that gets there through a symbolic link. */
typedef struct {
    const char *outer;
    size_t length;     /* of outer */
    const char *inner; /* "/" for the jail itself */
    int mapped;        /* URLs are mapped to this spelling */
} chroot_root;

/* What a <Directory> section meant outside, kept in its per-directory
 * configuration */
typedef struct {
    const char *path; /* canonical, may be a pattern */
    int is_regex;     /* it is a regular expression */
    int order;        /* among those that httpd sorts to the same place */
    int outside;      /* it is about nothing in the jail */
} chroot_section;

/* What becomes of a path in the hands of a child */
typedef enum {
    FATE_UNKNOWN,
    FATE_INSIDE,
    FATE_OUTSIDE,
    FATE_MISSING,
    FATE_UNREADABLE
} chroot_fate;

/* A path that the configuration names, or needs in the jail */
typedef struct {
    const ap_directive_t *node;
    const char *name;    /* of the directive */
    const char *written; /* the path, as it stands there */
    const char *outer;   /* what it is outside; NULL when it is a need */
    const char *inner;   /* what a child looks up, NULL when nothing is */
    const char *rest;    /* what follows, which depends on the request */
    const char *cure;    /* the command that brings it in */
    int bites;           /* something will fail when a child cannot use it */
    int mode;            /* of access(2), 0: what its type suggests */
    chroot_fate fate;
} chroot_path;

/* What the configuration, or the jail, makes an administrator wonder about */
typedef struct {
    const char *text;
    int bites; /* it is a warning, said once per start or by configtest */
} chroot_finding;

/* One generation: from pre_config to the pool cleanup of its configuration.
 * Filled in the parent, inherited by its children, never written by requests.
 */
typedef struct {
    const char *jail;          /* canonical path, NULL without a jail */
    const char *written;       /* the argument of ChrootDir */
    int links;                 /* it gets to the jail through symbolic links */
    ap_directive_t *node;      /* the ChrootDir that counts */
    int fix_root;              /* ChrootFixRoot On */
    int mount;                 /* ChrootFixRoot Mount */
    apr_array_header_t *roots; /* of chroot_root: the jail's spellings */
    apr_array_header_t *targets;      /* of char *: mapped to, and not inside */
    apr_array_header_t *access_names; /* of char *: AccessFileName */
    int sections;                     /* how many were compiled */
    const ap_directive_t *open;       /* maps URLs to the jail itself */
    int below;                    /* a DocumentRoot is not the jail itself */
    char *overrides;              /* what sections around the jail say of
                                 * .htaccess, by depth: 'N' none, 'Y' some */
    ap_directive_t *no_links;     /* Options around it that forbid links */
    int cgid_deaf;                /* children cannot reach mod_cgid's socket */
    apr_array_header_t *findings; /* of chroot_finding */
    apr_array_header_t *paths;    /* of chroot_path; NULL: nobody looks */
    apr_hash_t *needs;            /* those of them that are needs */
    int dump;                     /* the report is wanted, of all paths */
    int fd;                       /* the jail, opened and checked at start */
    dev_t dev;
    ino_t ino;
    const char *door; /* what chroot(2) is called with */
    const char *zone; /* TZ for children, NULL to leave it alone */
    int late;         /* by a jailer, at the end of child_init;
                                 * otherwise by mod_unixd, before it */
    int entered;      /* a probe came in, at configtest */
    int configured;   /* may an MPM child be forked now? */
    int probing;      /* this process is a probe */
    int is_child;     /* this process is an MPM child, or a probe */
    int dumps_core;   /* CoreDumpDirectory is set */
    int tasks;        /* /proc/self/task, from outside: late */
    int status;       /* /proc/self/status, from outside: early */
    pid_t jailer;
    int ask, answer; /* the child's ends of the jailer's pipes */
} chroot_generation;

APLOG_USE_MODULE(chroot);

static chroot_generation gen = { .fd = -1, .tasks = -1, .status = -1 };

/* Closes a descriptor of this process, once. */
static void fd_close(int *fd)
{
    if (*fd != -1) {
        close(*fd);
        *fd = -1;
    }
}

/* Waits for the end of a process; its status goes to *status. Returns an errno,
 * or 0. */
static int process_wait(pid_t pid, int flags, int *status)
{
    while (waitpid(pid, status, flags) == -1) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/* Whether this is not the first of the two passes of a start. */
static int is_final_pass(void)
{
    return ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL
           || ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG;
}

/* ------------------------------------------------------------------------
 * Paths
 */

/* Whether c is one of set; the end of a string is in none. */
static int is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* What remains of path behind the directory dir, of length bytes, or NULL when
 * path is neither dir nor below it. Both are canonical but for trailing slashes
 * of path. The answer points into path, begins with "/" and is "/" for dir
 * itself. */
static const char *path_rest(const char *path, const char *dir, size_t length)
{
    if (dir[1] == '\0') {
        length = 0;
    }
    if (strncmp(path, dir, length) != 0) {
        return NULL;
    }
    path += length;
    return *path == '/' ? path : *path == '\0' ? "/" : NULL;
}

static const char *path_below(const char *path, const char *dir)
{
    return path_rest(path, dir, strlen(dir));
}

/* The same for a spelling of the jail. Requests ask this several times each:
 * the first letter says no most of the time. */
static const char *path_behind(const char *path, const chroot_root *root)
{
    if (path[0] != '/'
        || (path[1] != root->outer[1] && root->outer[1] != '\0')) {
        return NULL;
    }
    return path_rest(path, root->outer, root->length);
}

/* The inner path of an outer one by this spelling, or NULL. */
static const char *root_inside(apr_pool_t *p, const char *path,
                               const chroot_root *root)
{
    const char *rest = path_behind(path, root);

    if (rest == NULL || root->inner[1] == '\0') {
        return rest;
    }
    return rest[1] == '\0' ? root->inner
                           : apr_pstrcat(p, root->inner, rest, NULL);
}

/* The same, by any spelling of the jail. */
static const char *path_inside(apr_pool_t *p, const char *path)
{
    const chroot_root *root = (const chroot_root *)gen.roots->elts;
    const char *inner = NULL;
    int i;

    for (i = 0; i < gen.roots->nelts && inner == NULL; i++, root++) {
        inner = root_inside(p, path, root);
    }
    return inner;
}

/* Whether an absolute path is as httpd's directory walk sees it but for
 * slashes at its end: without "//", "." and "..", and without names that begin
 * with a dot, which are rare. */
static int path_is_plain(const char *path)
{
    if (*path != '/') {
        return 0;
    }
    for (; path != NULL; path = strchr(path + 1, '/')) {
        if (path[1] == '/' || path[1] == '.') {
            return 0;
        }
    }
    return 1;
}

/* An absolute path as httpd's directory walk sees it: without "//", "." and
 * ".."; one that climbs above the root stays as it is. */
static const char *path_canonical(apr_pool_t *p, const char *path)
{
    const chroot_root *jail = (const chroot_root *)gen.roots->elts;
    const char *rest = path_behind(path, jail); /* which is canonical */
    char *canonical;

    if (path_is_plain(rest != NULL ? rest : path)) {
        return path;
    }
    return apr_filepath_merge(&canonical, NULL, path, APR_FILEPATH_TRUENAME, p)
                   == APR_SUCCESS
               ? canonical
               : path;
}

/* path without the slashes at its end; "/" stays. */
static const char *path_trimmed(apr_pool_t *p, const char *path)
{
    size_t all = strlen(path), len = all;

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return len == all ? path : apr_pstrmemdup(p, path, len);
}

/* The directory that a path is in. */
static const char *path_parent(apr_pool_t *p, const char *path)
{
    return path_trimmed(p, ap_make_dirstr_parent(p, path));
}

/* ------------------------------------------------------------------------
 * Compiling the configuration
 */

/* A word as ap_getword_conf() will read it back between double quotes. */
static const char *word_escaped(apr_pool_t *p, const char *word)
{
    char *out, *o;

    if (strpbrk(word, "\"\\") == NULL) {
        return word;
    }
    out = o = apr_palloc(p, 2 * strlen(word) + 1);
    for (; *word != '\0'; word++) {
        if (*word == '"' || *word == '\\') {
            *o++ = '\\';
        }
        *o++ = *word;
    }
    *o = '\0';
    return out;
}

static const char *word_quoted(apr_pool_t *p, const char *word)
{
    return apr_pstrcat(p, "\"", word_escaped(p, word), "\"", NULL);
}

/* The only argument of a node, or NULL when there is none or are several:
 * httpd has a message for that. */
static const char *node_word(apr_pool_t *p, const ap_directive_t *node)
{
    const char *args = node->args;
    const char *word = ap_getword_conf(p, &args);

    return *word != '\0' && *args == '\0' ? word : NULL;
}

/* The last top-level node of a directive: the one that counts. */
static ap_directive_t *node_last(const char *directive)
{
    ap_directive_t *node, *last = NULL;

    for (node = ap_conftree; node != NULL; node = node->next) {
        if (strcasecmp(node->directive, directive) == 0) {
            last = node;
        }
    }
    return last;
}

/* Whether any virtual host has a DocumentRoot. */
static int vhost_has_root(void)
{
    const ap_directive_t *node, *sub;

    for (node = ap_conftree; node != NULL; node = node->next) {
        if (strcasecmp(node->directive, "<VirtualHost") != 0) {
            continue;
        }
        for (sub = node->first_child; sub != NULL; sub = sub->next) {
            if (strcasecmp(sub->directive, "DocumentRoot") == 0) {
                return 1;
            }
        }
    }
    return 0;
}

/* 1 for On and Yes, 0 for Off and No, -1 for anything else. */
static int flag_value(const char *word)
{
    if (strcasecmp(word, "on") == 0 || strcasecmp(word, "yes") == 0) {
        return 1;
    }
    if (strcasecmp(word, "off") == 0 || strcasecmp(word, "no") == 0) {
        return 0;
    }
    return -1;
}

/* Turns a node into one whose handler returns text as an error, with the
 * node's file and line; no other module has anything to say about it. */
static void node_fail(ap_directive_t *node, const char *text)
{
    node->directive = NODE_ERROR;
    node->args = text;
}

/* The directory that a ChrootDir argument means, as configured but absolute;
 * NULL, with an error text, when it means none. */
static const char *jail_meant(apr_pool_t *p, const char *word,
                              const char **error)
{
    const ap_directive_t *root;
    const char *path = word;

    if (strcasecmp(word, "SERVER_ROOT") == 0) {
        path = ap_server_root;
    }
    else if (strcasecmp(word, "DOCUMENT_ROOT") == 0) {
        root = node_last("DocumentRoot");
        path = root != NULL ? node_word(p, root) : NULL;
        if (path == NULL) {
            *error =
                vhost_has_root()
                    ? "the main server has no DocumentRoot, only virtual hosts "
                      "have; write the directory instead of the keyword"
                    : "the main server has no DocumentRoot";
            return NULL;
        }
    }
    path = ap_server_root_relative(p, path);
    if (path == NULL) {
        *error = "not a valid path";
    }
    return path;
}

/* Adds a spelling of the jail, or of the directory inner in it. */
static chroot_root *root_add(const char *outer, const char *inner)
{
    chroot_root *root = apr_array_push(gen.roots);

    root->outer = outer;
    root->length = strlen(outer);
    root->inner = inner;
    root->mapped = 0;
    return root;
}

/* Finds the jail that a ChrootDir argument names, and its first spellings.
 * Returns an error text or NULL. */
static const char *jail_resolve(apr_pool_t *p, const char *word)
{
    const char *error = NULL;
    const char *path = jail_meant(p, word, &error);
    char real[PATH_MAX];
    struct stat st;
    int rv;

    if (path == NULL) {
        return error;
    }
    if (realpath(path, real) == NULL || stat(real, &st) == -1) {
        rv = errno;
        return apr_psprintf(p, "%s: %pm", path, &rv);
    }
    if (!S_ISDIR(st.st_mode)) {
        return apr_psprintf(p, "%s is not a directory", path);
    }
    gen.jail = apr_pstrdup(p, real);
    gen.roots = apr_array_make(p, 2, sizeof(chroot_root));
    root_add(gen.jail, "/");
    path = path_trimmed(p, path);
    if (strcmp(path, gen.jail) != 0) {
        root_add(path, "/");
        gen.links = 1;
    }
    return NULL;
}

/* Writes what was found back into every top-level ChrootDir, so that
 * mod_unixd, whose directive it is too, accepts it whichever of the two was
 * loaded first; without a jail the nodes go. A node with a wrong number of
 * arguments stays: httpd itself reports it. */
static void jail_write_back(apr_pool_t *p, const char *path)
{
    ap_directive_t **link = &ap_conftree;
    ap_directive_t *node;

    while ((node = *link) != NULL) {
        if (strcasecmp(node->directive, "ChrootDir") != 0
            || node_word(p, node) == NULL) {
            link = &node->next;
        }
        else if (path == NULL) {
            *link = node->next;
        }
        else {
            node->args = word_quoted(p, path);
            link = &node->next;
        }
    }
}

/* Takes the last ChrootDir; what it means is settled here, before any
 * directive is carried out. */
static void compile_jail(apr_pool_t *p)
{
    ap_directive_t *node = node_last("ChrootDir");
    const char *word = node != NULL ? node_word(p, node) : NULL;
    const char *error;

    gen.findings = apr_array_make(p, 4, sizeof(chroot_finding));
    if (word == NULL) {
        return;
    }
    if (strcasecmp(word, "none") == 0) {
        jail_write_back(p, NULL);
        return;
    }
    error = jail_resolve(p, word);
    if (error != NULL) {
        node_fail(node, apr_psprintf(p, "ChrootDir \"%s\": %s", word, error));
    }
    gen.node = node;
    gen.written = word;
    jail_write_back(p, gen.jail);
}

/* Takes the last ChrootFixRoot; a bad value is its handler's to report. */
static void compile_fix_root(apr_pool_t *p)
{
    ap_directive_t *node = node_last("ChrootFixRoot");
    const char *word = node != NULL ? node_word(p, node) : NULL;

    gen.fix_root = gen.jail != NULL && strcmp(gen.jail, "/") != 0
                   && word != NULL && flag_value(word) == 1;
    gen.mount = word != NULL && strcasecmp(word, "Mount") == 0;
}

/* Keeps a copy of something to say about a directive, which may be none. */
static void find(const ap_directive_t *node, int bites, const char *text)
{
    chroot_finding *finding = apr_array_push(gen.findings);
    apr_pool_t *p = gen.findings->pool;

    finding->text = node == NULL
                        ? apr_pstrdup(p, text)
                        : apr_psprintf(p, "%s at %s:%d %s", node->directive,
                                       node->filename, node->line_num, text);
    finding->bites = bites;
}

/* The same, about something in the file system. */
static void find_file(apr_pool_t *p, const char *path, const struct stat *st,
                      const char *text)
{
    find(NULL, 1,
         apr_psprintf(p, "%s (owner %ld:%ld, mode %04o) %s", path,
                      (long)st->st_uid, (long)st->st_gid,
                      (unsigned)st->st_mode & 07777, text));
}

static void findings_warn(server_rec *s)
{
    const chroot_finding *finding = (chroot_finding *)gen.findings->elts;
    int i;

    for (i = 0; i < gen.findings->nelts; i++, finding++) {
        if (finding->bites) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "%s", finding->text);
        }
    }
}

/* path with the symbolic links of that part of it resolved that exists. */
static const char *path_real(apr_pool_t *p, const char *path)
{
    const char *end = path + strlen(path);
    char real[PATH_MAX];

    while (end > path) {
        if (realpath(apr_pstrmemdup(p, path, end - path), real) != NULL) {
            return apr_pstrcat(p, real[1] != '\0' ? real : "", end, NULL);
        }
        do {
            end--;
        } while (end > path && *end != '/');
    }
    return path;
}

/* The spelling of the jail by which a canonical path is inside, or NULL. One
 * that nobody has used before is found by resolving the path: it is the
 * shortest part of it that leads inside. */
static chroot_root *root_of(apr_pool_t *p, const char *path)
{
    chroot_root *root = (chroot_root *)gen.roots->elts;
    const char *end = path, *part, *inner;
    int i;

    for (i = 0; i < gen.roots->nelts; i++, root++) {
        if (path_behind(path, root) != NULL) {
            return root;
        }
    }
    if (!gen.fix_root || path_below(path_real(p, path), gen.jail) == NULL) {
        return NULL;
    }
    do {
        end = end + 1 + strcspn(end + 1, "/");
        part = apr_pstrmemdup(p, path, end - path);
        inner = path_below(path_real(p, part), gen.jail);
    } while (inner == NULL && *end != '\0');
    p = gen.roots->pool;
    return inner != NULL ? root_add(apr_pstrdup(p, part), apr_pstrdup(p, inner))
                         : NULL;
}

/* An inner path; one that begins with the jail again names nothing, and must
 * not be taken for an outer one. */
static const char *path_once(apr_pool_t *p, const char *inner)
{
    return path_inside(p, inner) != NULL ? apr_pstrcat(p, OUTSIDE, inner, NULL)
                                         : inner;
}

/* Whether enough paths are noted. */
static int paths_full(void)
{
    return gen.paths == NULL || (!gen.dump && gen.paths->nelts >= LOOK_PATHS);
}

/* Notes that a directive names the path written, which is outer outside; inner
 * is what the compiler makes of it for children, NULL when it makes nothing;
 * rest follows it. With FixRoot off what is written is what they use. Returns
 * the note, which is in the report and has copies, or a spare one when enough
 * are noted. */
static chroot_path *path_note(const ap_directive_t *node, const char *written,
                              const char *outer, const char *inner,
                              const char *rest)
{
    static chroot_path spare;
    chroot_path *path = &spare;
    apr_pool_t *p;

    if (paths_full()) {
        return path;
    }
    p = gen.paths->pool;
    path = apr_array_push(gen.paths);
    memset(path, 0, sizeof(*path));
    path->node = node;
    path->name = node->directive;
    path->written = apr_pstrdup(p, written);
    path->outer = apr_pstrdup(p, outer);
    path->inner = apr_pstrdup(p, gen.fix_root ? inner : outer);
    path->rest = apr_pstrdup(p, rest);
    path->bites = 1;
    return path;
}

/* The inner path of an absolute one, or NULL. */
static const char *path_inner(apr_pool_t *p, const char *path)
{
    path = path_trimmed(p, path_canonical(p, path));
    return root_of(p, path) != NULL ? path_once(p, path_inside(p, path)) : NULL;
}

/* The same of one that a directive names; children look for it by the name
 * that it has outside when there is none. */
static const char *path_noted(apr_pool_t *p, const ap_directive_t *node,
                              const char *written, const char *path)
{
    const char *inner = path_inner(p, path);
    chroot_path *note = path_note(node, written, path,
                                  inner != NULL ? inner : path, "");

    if (strchr(path, '?') != NULL) {
        note->fate = FATE_INSIDE; /* mod_lua's patterns: nobody knows */
    }
    return inner;
}

/* ---- The words of directives. Each of these gets a directive, all its words
 * and the number of one, from 0; it returns what to write instead, or NULL to
 * leave it alone. */

/* An absolute path. */
static const char *inner_path(apr_pool_t *p, const ap_directive_t *node,
                              char **words, int n)
{
    return words[n][0] == '/' ? path_noted(p, node, words[n], words[n]) : NULL;
}

/* A directory that mod_userdir looks for in the child: one that leads out of
 * the jail is moved aside. */
static const char *inner_userdir(apr_pool_t *p, const ap_directive_t *node,
                                 char **words, int n)
{
    const char *inner;

    if (words[n][0] != '/') {
        return NULL;
    }
    inner = path_inner(p, words[n]);
    return inner != NULL ? inner : apr_pstrcat(p, OUTSIDE, words[n], NULL);
}

/* A path, relative to ServerRoot or absolute. */
static const char *inner_rooted(apr_pool_t *p, const ap_directive_t *node,
                                char **words, int n)
{
    const char *path = words[n][0] == '/'
                           ? words[n]
                           : ap_server_root_relative(p, words[n]);

    return path != NULL ? path_noted(p, node, words[n], path) : NULL;
}

/* A word with "unix:" and the path of a socket in it, up to "|". */
static const char *inner_socket(apr_pool_t *p, const ap_directive_t *node,
                                char **words, int n)
{
    const char *start = strstr(words[n], "unix:");
    const char *end, *inner, *path;

    if (start == NULL || start[5] != '/') {
        return NULL;
    }
    start += strlen("unix:");
    end = start + strcspn(start, "|");
    path = apr_pstrmemdup(p, start, end - start);
    inner = path_inner(p, path);
    path_note(node, path, path, inner != NULL ? inner : path, "")->mode = W_OK;
    return inner == NULL
               ? NULL
               : apr_pstrcat(p, apr_pstrmemdup(p, words[n], start - words[n]),
                             inner, end, NULL);
}

/* Paths with ":" between them, or ";" before the only one (session.save_path).
 */
static const char *inner_list(apr_pool_t *p, const ap_directive_t *node,
                              char **words, int n)
{
    const char *rest = words[n], *inner, *result = "";
    int length, changed = 0;
    char *path;

    for (;;) {
        length = (int)strcspn(rest, ":;");
        path = apr_pstrmemdup(p, rest, length);
        inner = inner_path(p, node, &path, 0);
        changed |= inner != NULL;
        rest += length;
        result = apr_psprintf(p, "%s%s%.1s", result,
                              inner != NULL ? inner : path, rest);
        if (*rest++ == '\0') {
            return changed ? result : NULL;
        }
    }
}

/* The value of a PHP setting that names paths (main.c, session.c). */
static const char *inner_php(apr_pool_t *p, const ap_directive_t *node,
                             char **words, int n)
{
    static const char *const settings[] = {
        "auto_append_file", "auto_prepend_file",
        "error_log",        "include_path",
        "open_basedir",     "session.save_path",
        "upload_tmp_dir",   NULL
    };
    int i;

    for (i = 0; settings[i] != NULL; i++) {
        if (strcasecmp(words[0], settings[i]) == 0) {
            return inner_list(p, node, words, n);
        }
    }
    return NULL;
}

/* What comes before the path in a word that its module parses itself: a
 * quote, "cmd=". */
static const char *raw_start(const char *word)
{
    if (strncasecmp(word, "cmd=", 4) == 0) {
        word += 4;
    }
    return *word == '"' || *word == '\'' ? word + 1 : word;
}

/* The path at the start of text, as far as it is literal: up to a slash when
 * variables follow, which go to *rest. */
static const char *raw_literal(apr_pool_t *p, const char *text,
                               const char **rest)
{
    size_t all = strcspn(text, "\"' "), length = strcspn(text, "$%\"' ");

    while (length > 0 && length < all && text[length - 1] != '/') {
        length--;
    }
    *rest = apr_pstrmemdup(p, text + length, all - length);
    return length > 0 ? apr_pstrmemdup(p, text, length) : "/";
}

/* Notes the path at start, which outer is the canonical form of. */
static void raw_note(apr_pool_t *p, const ap_directive_t *node,
                     const char *start, const char *outer, const char *inner)
{
    const char *rest;

    if (paths_full()) {
        return;
    }
    outer = raw_literal(p, outer, &rest);
    if (inner != NULL) {
        inner = raw_literal(p, inner, &rest);
    }
    path_note(node, apr_pstrmemdup(p, start, strcspn(start, "\"' ")), outer,
              inner, rest);
}

/* A literal absolute path at the start of a word that its module parses
 * itself; nothing but the jail goes. */
static const char *inner_raw(apr_pool_t *p, const ap_directive_t *node,
                             char **words, int n)
{
    const chroot_root *root = (const chroot_root *)gen.roots->elts;
    const char *start = raw_start(words[n]), *path = start, *rest;
    size_t length = strcspn(start, "$%\"' ");
    int i;

    while (length > 0 && start[length - 1] != '/') {
        length--;
    }
    if (*start == '/') {
        path = apr_pstrmemdup(p, start, length);
        rest = path_canonical(p, path);
        path = rest == path ? start
                            : apr_pstrcat(p, rest, start + length, NULL);
    }
    for (i = 0; i < gen.roots->nelts; i++, root++) {
        rest = path + root->length;
        if (strncmp(path, root->outer, root->length) != 0
            || (*rest != '\0' && strchr("/\"' ", *rest) == NULL
                && strncmp(rest, "%{REQUEST_URI}", 14) != 0)) {
            continue;
        }
        rest = apr_pstrcat(
            p,
            root->inner[1] == '\0' && is_one_of(*rest, "/%") ? "" : root->inner,
            rest, NULL);
        raw_note(p, node, start, path, rest);
        return apr_pstrcat(p, apr_pstrmemdup(p, words[n], start - words[n]),
                           path_once(p, rest), NULL);
    }
    return NULL;
}

/* A command that children run: one outside is looked for by that name. */
static const char *inner_command(apr_pool_t *p, const ap_directive_t *node,
                                 char **words, int n)
{
    const char *inner = inner_raw(p, node, words, n);
    const char *start = raw_start(words[n]);

    if (inner == NULL && *start == '/') {
        raw_note(p, node, start, start, start);
    }
    return inner;
}

/* Whether a RewriteRule has one of these flags (mod_rewrite.c,
 * cmd_rewriterule_setflag). */
static int rule_has(char **words, const char *const *names)
{
    const char *flag = words[1] != NULL && words[2] != NULL ? words[2] : "";
    size_t length, i;

    for (; *flag != '\0'; flag += length) {
        flag += strspn(flag, "\"'[], \t");
        length = strcspn(flag, "=,] \t");
        for (i = 0; names[i] != NULL; i++) {
            if (strlen(names[i]) == length
                && strncasecmp(flag, names[i], length) == 0) {
                return 1;
            }
        }
        length += strcspn(flag + length, ",");
    }
    return 0;
}

/* Whether its substitution is a URL by its flags, or is none. */
static int rule_is_url(char **words)
{
    static const char *const names[] = { "R", "redirect", "PT", "passthrough",
                                         "P", "proxy",    NULL };

    return rule_has(words, names);
}

/* Whether a path's first component, which must be literal, exists in the
 * directory dir: by that mod_rewrite tells a file from a URL (prefix_stat). */
static int first_exists(apr_pool_t *p, const char *dir, const char *path)
{
    size_t length = *path == '/' ? 1 + strcspn(path + 1, "/") : 0;
    apr_finfo_t info;

    if (length < 2 || strcspn(path, "$%\"'") < length) {
        return 0;
    }
    path = apr_pstrcat(p, dir, apr_pstrmemdup(p, path, length), NULL);
    return apr_stat(&info, path, APR_FINFO_TYPE, p) == APR_SUCCESS;
}

/* What the pattern of a rewrite rule is matched against: the URL in the server
 * context, what is below the directory in a plain <Directory>, and the whole
 * path elsewhere, where the prefix of the section is none (mod_rewrite.c,
 * apply_rewrite_rule). */
typedef enum { RULE_SEES_URL, RULE_SEES_REST, RULE_SEES_PATH } chroot_rule_sees;

static chroot_rule_sees rule_sees(const ap_directive_t *node)
{
    for (node = node->parent; node != NULL; node = node->parent) {
        if (strcasecmp(node->directive, "<VirtualHost") == 0) {
            break;
        }
        if (strcasecmp(node->directive, "<Directory") == 0) {
            return apr_fnmatch_test(node->args) || strchr(node->args, '~')
                       ? RULE_SEES_PATH
                       : RULE_SEES_REST;
        }
        if (strncasecmp(node->directive, "<Limit", 6) != 0) {
            return RULE_SEES_PATH;
        }
    }
    return RULE_SEES_URL;
}

/* The substitution of a RewriteRule. One that leads out of the jail is moved
 * aside in the server context, where it is a path and not a URL. */
static const char *inner_target(apr_pool_t *p, const ap_directive_t *node,
                                char **words, int n)
{
    const char *inner, *start = raw_start(words[n]);
    int length = (int)(start - words[n]);

    if (strstr(words[n], "unix:") != NULL) {
        return inner_socket(p, node, words, n);
    }
    if (rule_is_url(words)) {
        return NULL;
    }
    inner = inner_raw(p, node, words, n);
    if (rule_sees(node) != RULE_SEES_URL) {
        return inner;
    }
    if (inner != NULL && strncmp(start, "//", 2) != 0) {
        return apr_pstrcat(p, length ? apr_pstrmemdup(p, words[n], length) : "",
                           INNER_TARGET,
                           inner + length + (inner[length] == '/'), NULL);
    }
    /* for prefix_stat "//" is a URL, and the jail's path has none */
    if (inner == NULL
        && !first_exists(p, gen.fix_root ? "" : gen.jail, start)) {
        return NULL;
    }
    raw_note(p, node, start, start, NULL);
    return apr_psprintf(p, "%.*s%s%s", length, words[n], OUTSIDE, start);
}

/* Whether the pattern of a RewriteCond is an operator that looks at the file
 * system (mod_rewrite.c, cmd_rewritecond). */
static int is_file_test(const char *pattern)
{
    pattern += *pattern == '!';
    return pattern[0] == '-' && pattern[1] != '\0'
           && strchr("defslLhxF", pattern[1]) != NULL
           && !apr_isalpha(pattern[2]);
}

/* The tested string of a RewriteCond that looks at the file system. */
static const char *inner_tested(apr_pool_t *p, const ap_directive_t *node,
                                char **words, int n)
{
    return words[n + 1] != NULL && is_file_test(raw_start(words[n + 1]))
               ? inner_raw(p, node, words, n)
               : NULL;
}

/* The target of a mapping: an outer path stays one, but it must not depend on
 * what is an inner path in children: ServerRoot, or, in an expression, the
 * document root (mod_alias.c in <Location>). */
static const char *outer_path(apr_pool_t *p, const ap_directive_t *node,
                              char **words, int n)
{
    if (strncmp(words[n], "%{DOCUMENT_ROOT}", 16) == 0) {
        return apr_pstrcat(p, gen.jail, words[n], NULL);
    }
    if (words[n][0] == '/' || words[n][0] == '%') {
        return NULL;
    }
    return ap_server_root_relative(p, words[n]);
}

/* The target of an Alias: an inner path where that is certain, as it is made
 * canonical for each request, the slower the deeper the jail. No other one may
 * look like that, whatever an expression says. One that ends with the jail
 * stays: what follows, without a slash, could be another directory's name. */
static const char *inner_alias(apr_pool_t *p, const ap_directive_t *node,
                               char **words, int n)
{
    const chroot_root *root;
    const char *path;
    char *rest;

    if (rule_sees(node) != RULE_SEES_URL) { /* an expression in <Location> */
        path = outer_path(p, node, words, n);
        return apr_pstrcat(p, "/", path != NULL ? path : words[n], NULL);
    }
    if (words[n][0] != '/') {
        return outer_path(p, node, words, n);
    }
    path = path_canonical(p, words[n]);
    if (path != words[n]) {
        return path;
    }
    root = root_of(p, path);
    if (root == NULL || path[root->length] != '/') {
        return NULL;
    }
    rest = words[n] + root->length;
    if (root->inner[1] != '\0') {
        return apr_pstrcat(p, "/.", root->inner, rest, NULL);
    }
    *--rest = '.'; /* in the place of the jail: the word is a copy */
    *--rest = '/';
    return rest;
}

/* What the compiler does with a directive */
typedef enum {
    DIR_TRANSLATE, /* opened by a child: the word is translated */
    DIR_MAP,       /* URLs are mapped to it, translated per request */
    DIR_MAP_INNER, /* URLs are mapped to it, and the word is translated */
    DIR_DECIDE,    /* an expression or pattern about access */
    DIR_CHECKED,   /* looked at outside, opened inside: a copy will do */
    DIR_SHARED,    /* one file for both sides: it takes the self-link */
    DIR_SECTION,   /* matched against paths */
    DIR_SERVER,    /* a virtual host */
    DIR_KNOWN      /* the parent's alone, or not a path */
} chroot_kind;

/* What apr_isspace() is true for */
#define BLANKS " \t\n\v\f\r"

/* Not a number of a word */
#define EACH (-1)
#define LAST (-2)

/* The words of a directive */
typedef struct {
    int count;
    char **word;       /* followed by NULL */
    const char **span; /* where each begins and ends, as it stands there */
    int is_closed;     /* the ">" of a section stands behind them */
} chroot_words;

/* What there is to know of directives */
typedef struct {
    const char *names; /* with blanks between them */
    chroot_kind kind;
    int word; /* from 0, or EACH, or LAST */
    const char *(*translate)(apr_pool_t *p, const ap_directive_t *node,
                             char **words, int n);
    /* says what is wrong with it, or NULL */
    const char *(*check)(apr_pool_t *p, const ap_directive_t *node,
                         char **words);
    /* notes what it needs in the jail */
    void (*look)(apr_pool_t *p, const ap_directive_t *node, char **words);
    int raw; /* the module parses its arguments itself */
} chroot_directive;

/* A directive that is compiled when all spellings of the jail are known */
typedef struct {
    ap_directive_t *node;
    const chroot_directive *row; /* NULL when it is in no row */
} chroot_node;

/* Takes the next word off a directive's arguments, with its quotes, and with
 * blanks that a backslash escapes: as modules do that parse them themselves. */
static char *raw_word(apr_pool_t *p, const char **rest)
{
    const char *start = *rest, *end;

    if (*start == '"' || *start == '\'') {
        end = strchr(start + 1, *start);
        *rest = end != NULL ? end + 1 : start + strlen(start);
    }
    else {
        end = start + strcspn(start, BLANKS);
        while (*end != '\0' && end > start && end[-1] == '\\') {
            end += 1 + strcspn(end + 1, BLANKS);
        }
        *rest = end;
    }
    return apr_pstrmemdup(p, start, *rest - start);
}

/* The same as ap_getword_conf(), which is slow: nearly all words have no
 * backslash. */
static char *conf_word(apr_pool_t *p, const char **rest)
{
    const char *start = *rest, *end;
    int quoted = *start == '"' || *start == '\'';

    start += quoted;
    end = quoted ? strchr(start, start[-1]) : start + strcspn(start, BLANKS);
    if (end == NULL || memchr(start, '\\', end - start) != NULL) {
        return ap_getword_conf(p, rest);
    }
    *rest = end + quoted;
    return apr_pstrmemdup(p, start, end - start);
}

/* Whether a row is about word number n of count. */
static int row_wants(const chroot_directive *row, int n, int count)
{
    return row->word == EACH || row->word == (n == count - 1 ? LAST : n)
           || row->word == n;
}

/* The words of a directive, without the ">" of a section; a raw one's with
 * their quotes. */
static chroot_words node_words(apr_pool_t *p, const ap_directive_t *node,
                               int raw)
{
    const char *rest = node->args, *end;
    const char *tail = node->directive[0] == '<' ? strrchr(rest, '>') : NULL;
    size_t most = strlen(rest) / 2 + 1; /* each has a blank, or two quotes */
    chroot_words words = { 0 };
    const char **span;

    if (tail != NULL) {
        rest = apr_pstrmemdup(p, rest, tail - rest);
        words.is_closed = 1;
    }
    words.word = apr_palloc(p, (3 * most + 1) * sizeof(char *));
    words.span = span = (void *)(words.word + most + 1);
    for (;; words.count++) {
        while (apr_isspace(*rest)) {
            rest++;
        }
        if (*rest == '\0') {
            words.word[words.count] = NULL;
            return words;
        }
        *span++ = rest;
        words.word[words.count] = raw ? raw_word(p, &rest)
                                      : conf_word(p, &rest);
        for (end = rest; apr_isspace(end[-1]); end--) {
            continue; /* ap_getword_conf() goes behind blanks */
        }
        *span++ = end;
    }
}

/* Copies length letters, and returns the place behind the copy. */
static char *copied(char *to, const char *from, size_t length)
{
    memcpy(to, from, length);
    return to + length;
}

/* Writes the words of a directive anew where its row says so; what stands
 * between them stays. */
static void node_translate(apr_pool_t *p, apr_pool_t *ptemp,
                           ap_directive_t *node, const chroot_directive *row,
                           const chroot_words *words)
{
    const char **anew = apr_pcalloc(ptemp, (words->count + 1) * sizeof(char *));
    const char *const *span = words->span, *behind;
    size_t length = sizeof(">");
    int changed = 0, i;
    char *to;

    for (i = 0; i < words->count; i++) {
        if (row_wants(row, i, words->count)) {
            anew[i] = row->translate(ptemp, node, words->word, i);
        }
        if (anew[i] != NULL) {
            anew[i] = row->raw ? anew[i] : word_quoted(ptemp, anew[i]);
            length += strlen(anew[i]);
            changed = 1;
        }
    }
    if (!changed || !gen.fix_root) {
        return;
    }
    behind = span[0];
    to = apr_palloc(p, length + strlen(behind));
    node->args = to;
    for (i = 0; i < words->count; i++, span += 2) {
        if (anew[i] != NULL) {
            to = copied(to, behind, span[0] - behind);
            to = copied(to, anew[i], strlen(anew[i]));
            behind = span[1];
        }
    }
    to = copied(to, behind, strlen(behind));
    (void)copied(to, words->is_closed ? ">" : "", words->is_closed + 1);
}

/* The directory that word number i of a mapping leads to: what stands before
 * the first variable in it, up to a slash, canonical; or NULL. What stands
 * behind goes to *rest. */
static const char *mapping_path(apr_pool_t *p, const chroot_directive *row,
                                const chroot_words *words, int i,
                                const char **rest)
{
    const chroot_root *jail = (const chroot_root *)gen.roots->elts;
    const char *path = row->raw ? raw_start(words->word[i]) : words->word[i];
    size_t length;

    if (!row_wants(row, i, words->count)
        || (row->raw && (*path != '/' || rule_is_url(words->word)))) {
        return NULL;
    }
    length = path_behind(path, jail) != NULL ? jail->length : 0;
    length += strcspn(path + length, row->raw ? "$%*\"'" : "$%*");
    while (path[length] != '\0' && length > 0 && path[length - 1] != '/') {
        length--;
    }
    *rest = path + length;
    path = length > 0 ? apr_pstrmemdup(p, path, length) : "/";
    if (*path != '/') {
        path = row->translate != inner_userdir
                   ? ap_server_root_relative(p, path)
                   : NULL;
    }
    return path != NULL ? path_trimmed(p, path_canonical(p, path)) : NULL;
}

/* Notes by which spellings a directive maps URLs into the jail. */
static void node_map(apr_pool_t *p, const ap_directive_t *node,
                     const chroot_directive *row, const chroot_words *words)
{
    const char *path, *rest, *inner;
    chroot_path *note;
    chroot_root *root;
    int is_around, i; /* the jail, or at it */

    for (i = 0; i < words->count; i++) {
        path = mapping_path(p, row, words, i, &rest);
        if (path == NULL) {
            continue;
        }
        root = root_of(p, path);
        inner = root != NULL ? root_inside(p, path, root) : NULL;
        is_around = inner != NULL ? inner[1] == '\0'
                                  : path_below(gen.jail, path) != NULL;
        if (!row->raw) { /* those are noted when it is known what they are */
            note = path_note(node, words->word[i], path, inner, rest);
            note->bites = *rest == '\0' || !is_around;
        }
        if (root != NULL) {
            root->mapped = 1;
        }
        else {
            APR_ARRAY_PUSH(gen.targets,
                           const char *) = apr_pstrdup(gen.targets->pool, path);
        }
        if (!row->raw && (is_around || (!gen.fix_root && path[1] == '\0'))) {
            gen.open = node;
        }
        if (inner == NULL || inner[1] != '\0') {
            gen.below |= strcasecmp(node->directive, "DocumentRoot") == 0;
        }
    }
}

/* ---- Sections */

/* The next character of a regular expression: behind an escape, or a class in
 * brackets, as a whole. pcre2pattern(3). */
static const char *regex_next(const char *re)
{
    if (*re == '\\' && re[1] != '\0') {
        return re + 2;
    }
    if (*re != '[') {
        return re + 1;
    }
    re += re[1] == '^' ? 2 : 1;
    re += *re == ']';
    while (*re != '\0' && *re != ']') {
        if (re[0] == '[' && is_one_of(re[1], ":.=")) {
            re = re + 2 + strcspn(re + 2, "]");
        }
        re += *re == '\\' && re[1] != '\0' ? 2 : *re != '\0';
    }
    return re + (*re == ']');
}

/* The end of the alternative that starts at re: "|", ")", or the end. */
static const char *regex_alternative_end(const char *re)
{
    int depth = 0;

    for (;; re = regex_next(re)) {
        re += strcspn(re, "\\[(|)");
        if (*re == '\0' || (depth == 0 && is_one_of(*re, "|)"))) {
            return re;
        }
        depth += (*re == '(') - (*re == ')');
    }
}

/* Whether a match of the alternative at re may begin in the jail's own path,
 * of which tail is the rest: then it may rely on what children do not see.
 * Literal text says no for certain; everything else says yes. */
static int regex_may_begin(const char *re, const char *tail)
{
    const char *next;

    for (; *tail != '\0'; re = next, tail++) {
        if (re[0] == '('
            && (re[1] != '?' || re[2] == ':'
                || (re[2] == '<' && apr_isalpha(re[3])))) {
            next = re[1] == '?' ? re + strcspn(re, ":>") : re;
            do {
                if (regex_may_begin(next + 1, tail)) {
                    return 1;
                }
                next = regex_alternative_end(next + 1);
            } while (*next == '|');
            return *next != ')' || is_one_of(next[1], "?*{");
        }
        next = regex_next(re);
        if (*re == '\\' && !apr_isalnum(re[1])) {
            re++;
        }
        else if (*re == '\0' || is_one_of(*re, "\\^$.[]|()?*+{}# \t\n\v\f\r")) {
            return 1;
        }
        if (is_one_of(*next, "?*{")) {
            return 1;
        }
        if (apr_tolower(*re) != apr_tolower(*tail)) {
            return 0; /* RegexDefaultOptions may ignore case */
        }
    }
    return 1;
}

/* What follows the literal path outer, which may be escaped, at the start of a
 * regular expression; NULL when it does not stand there, or not at a boundary.
 */
static const char *regex_behind(const char *re, const char *outer)
{
    for (; *outer != '\0'; outer++, re++) {
        if (*re == '\\' && !apr_isalnum(re[1])) {
            re++;
        }
        else if (!apr_isalnum(*re) && is_one_of(*re, "\\^$[]|()?*+{}")) {
            return NULL;
        }
        if (*re != *outer) {
            return NULL;
        }
    }
    outer = *re == '\\' ? re + 1 : re;
    return *re == '\0' || (*outer == '/' && !is_one_of(outer[1], "?*+{"))
               ? re
               : NULL;
}

/* Whether an alternative says nothing about what stands before its match: no
 * anchor and no word boundary. */
static int regex_is_free(const char *re)
{
    for (re += strcspn(re, "^\\["); *re != '\0';
         re = regex_next(re), re += strcspn(re, "^\\[")) {
        if (*re == '^' || (*re == '\\' && is_one_of(re[1], "AGKbB"))) {
            return 0;
        }
    }
    return 1;
}

/* Whether a class in brackets ends, and holds nothing but characters, escapes
 * and complete [:names:]. */
static int class_is_simple(const char *re)
{
    const char *end = regex_next(re);

    if (end - re < 3 || end[-1] != ']') {
        return 0;
    }
    for (re++; re < end - 1; re++) {
        if (*re == '\\' && is_one_of(*++re, "cQE")) {
            return 0;
        }
        if (*re == '[') {
            if (re[1] != ':') {
                return 0;
            }
            for (re += 2; apr_isalpha(*re); re++) {
                continue;
            }
            if (re[0] != ':' || re[1] != ']') {
                return 0;
            }
            re++;
        }
    }
    return 1;
}

/* Whether a regular expression is in that part of PCRE's syntax that is
 * understood here: groups, plain, named or looking ahead, and classes. No
 * options, lookbehind, conditions, comments, verbs or quoting. */
static int regex_is_simple(const char *re)
{
    const char *c;

    for (re += strcspn(re, "\\[("); *re != '\0';
         re = regex_next(re), re += strcspn(re, "\\[(")) {
        if ((*re == '\\' && (re[1] == '\0' || is_one_of(re[1], "cQE")))
            || (*re == '[' && !class_is_simple(re))
            || (*re == '(' && re[1] == '*')) {
            return 0;
        }
        if (*re != '(' || re[1] != '?' || is_one_of(re[2], ":=!>")) {
            continue;
        }
        c = re + 2 + (re[2] == 'P');
        if (c[0] != '<' || !apr_isalpha(c[1])) {
            return 0;
        }
        for (c++; apr_isalnum(*c) || *c == '_'; c++) {
            continue;
        }
        if (*c != '>') {
            return 0;
        }
    }
    return 1;
}

/* Whether sections mean the jail by this spelling: they match by spelling, so
 * only those count that URLs are mapped to, or all when there is no mapping. */
static int root_counts(const chroot_root *root)
{
    int i;

    for (i = 0; !root->mapped && i < gen.roots->nelts; i++) {
        if (APR_ARRAY_IDX(gen.roots, i, chroot_root).mapped) {
            return 0;
        }
    }
    return 1;
}

/* Whether a spelling is the only one that counts. */
static int root_is_alone(const chroot_root *root)
{
    const chroot_root *each = (const chroot_root *)gen.roots->elts;
    int i;

    for (i = 0; i < gen.roots->nelts; i++, each++) {
        if ((each == root) != root_counts(each)) {
            return 0;
        }
    }
    return 1;
}

/* Translates one alternative of a section's regular expression; NULL when that
 * cannot be done without changing what it matches. */
static const char *regex_alternative_inside(apr_pool_t *p, const char *re)
{
    const chroot_root *root = (const chroot_root *)gen.roots->elts;
    const char *rest = re, *tail;
    int i;

    tail = rest + (*rest == '^');
    if (strncmp(tail, ".*", 2) == 0 && !is_one_of(tail[2], "?+")) {
        rest = tail + 2; /* anywhere: as without it */
    }
    else if (strncmp(tail, "(.*)", 4) == 0 && !is_one_of(tail[4], "?*+{")) {
        rest = tail + 4;
    }
    if (rest[strspn(rest, "^$")] == '\0' || strcmp(rest, ".") == 0) {
        return re; /* whatever there is */
    }
    for (i = 0; *rest == '^' && i < gen.roots->nelts; i++) {
        tail = regex_behind(rest + 1, root[i].outer);
        if (tail != NULL && root_is_alone(&root[i]) && regex_is_free(tail)) {
            return apr_pstrcat(p, "^",
                               root[i].inner[1] != '\0' ? root[i].inner
                               : *tail == '\0'          ? "/"
                                                        : "",
                               tail, NULL);
        }
    }
    if (!regex_is_free(rest)) {
        return NULL;
    }
    for (i = 0; i < gen.roots->nelts; i++) {
        for (tail = root[i].outer; *tail != '\0'; tail++) {
            if (regex_may_begin(rest, tail)) {
                return NULL;
            }
        }
    }
    return re;
}

/* Translates the regular expression of a section, alternative by alternative;
 * NULL when one of them cannot be. */
static const char *regex_inside(apr_pool_t *p, const char *re)
{
    const char *end, *one, *result = "";

    if (!regex_is_simple(re)) {
        return NULL;
    }
    for (;; re = end + 1) {
        end = regex_alternative_end(re);
        one = regex_alternative_inside(p, apr_pstrmemdup(p, re, end - re));
        if (one == NULL || *end == ')') {
            return NULL;
        }
        if (*end == '\0') {
            return *result != '\0' ? apr_pstrcat(p, result, one, NULL) : one;
        }
        result = apr_pstrcat(p, result, one, "|", NULL);
    }
}

/* How the path of a section lies to the jail */
typedef enum { LIES_OUTSIDE, LIES_INSIDE, LIES_AT, LIES_ABOVE } chroot_lie;

/* Whether a path is a pattern of httpd's, which match component by component.
 */
static int path_is_pattern(const char *path)
{
    return strpbrk(path, "?*[\\") != NULL && apr_fnmatch_test(path);
}

/* How a path, or a pattern, lies to a spelling of the jail; the inner path
 * goes to *inner. */
static chroot_lie section_lies(apr_pool_t *p, const char *path,
                               const chroot_root *root, const char **inner)
{
    const char *outer = root->outer;
    size_t a, b;

    if (!path_is_pattern(path)) {
        *inner = root_inside(p, path, root);
        if (*inner != NULL) {
            return strcmp(*inner, root->inner) == 0 ? LIES_AT : LIES_INSIDE;
        }
        *inner = "/";
        return path_below(outer, path) != NULL ? LIES_ABOVE : LIES_OUTSIDE;
    }
    for (; *path != '\0'; path += a, outer += b) {
        if (*outer == '\0') {
            *inner = root->inner[1] == '\0'
                         ? path
                         : apr_pstrcat(p, root->inner, path, NULL);
            return LIES_INSIDE;
        }
        a = 1 + strcspn(path + 1, "/");
        b = 1 + strcspn(outer + 1, "/");
        if (apr_fnmatch(apr_pstrmemdup(p, path, a), apr_pstrmemdup(p, outer, b),
                        0)
            != APR_SUCCESS) {
            return LIES_OUTSIDE;
        }
    }
    *inner = *outer == '\0' ? root->inner : "/";
    return *outer == '\0' ? LIES_AT : LIES_ABOVE;
}

/* The path of a section for children, or NULL and an error text. Sections
 * match by spelling; all spellings that count must agree. */
static const char *section_inside(apr_pool_t *p, ap_directive_t *node,
                                  const char *path, chroot_lie *lie,
                                  const char **error)
{
    const chroot_root *root = (const chroot_root *)gen.roots->elts;
    const char *inner = NULL, *found = NULL, *real;
    int seen = 0, i;
    chroot_lie one;
    apr_finfo_t info;

    *lie = LIES_OUTSIDE;
    for (i = 0; i < gen.roots->nelts; i++) {
        if (!root_counts(&root[i])) {
            continue;
        }
        one = section_lies(p, path, &root[i], &inner);
        if (seen++
            && (one != *lie || (found != NULL && strcmp(found, inner) != 0))) {
            *error = "means the jail by one of its spellings and not by "
                     "another that URLs are mapped to; use one spelling";
            return NULL;
        }
        *lie = one;
        found = one != LIES_OUTSIDE ? inner : NULL;
    }
    if (found != NULL && path_inside(p, found) == NULL) {
        return found;
    }
    if (!path_is_pattern(path)) {
        real = path_real(p, path);
        if (found == NULL
            && (path_below(real, gen.jail) != NULL
                || path_below(gen.jail, real) != NULL)) {
            *error = "leads to the jail through a symbolic link that URLs "
                     "are not mapped through; use the spelling that they are";
            return NULL;
        }
        real = apr_pstrcat(p, gen.jail, path, NULL);
        if (apr_stat(&info, path, APR_FINFO_TYPE, p) != APR_SUCCESS
            && apr_stat(&info, real, APR_FINFO_TYPE, p) == APR_SUCCESS) {
            find(node, 1,
                 apr_psprintf(p,
                              "names an outer path that does not "
                              "exist; should it be \"%s\"?",
                              real));
        }
    }
    *lie = LIES_OUTSIDE;
    return path;
}

/* The first rewrite rule in a section, however deep, or NULL. */
static ap_directive_t *rule_in(ap_directive_t *node)
{
    ap_directive_t *found = NULL;

    for (; node != NULL && found == NULL; node = node->next) {
        found = strcasecmp(node->directive, "RewriteRule") == 0
                    ? node
                    : rule_in(node->first_child);
    }
    return found;
}

/* Puts a mark into a section that was compiled: what it meant outside. */
static void section_mark(apr_pool_t *p, ap_directive_t *node, const char *path,
                         int is_regex, int outside)
{
    chroot_section *section = apr_pcalloc(p, sizeof(*section));
    ap_directive_t *mark = apr_pcalloc(p, sizeof(*mark));

    section->path = apr_pstrdup(p, path);
    section->is_regex = is_regex;
    /* a virtual host's sections come after the main server's */
    section->order = gen.sections++ + (node->parent != NULL ? INT_MAX / 2 : 0);
    section->outside = outside;
    mark->directive = NODE_SECTION;
    mark->args = "";
    mark->data = section;
    mark->filename = node->filename;
    mark->line_num = node->line_num;
    mark->parent = node;
    mark->next = node->first_child;
    node->first_child = mark;
}

/* Whether Options, as they stand there, forbid to follow symbolic links, or
 * allow only some (core.c, set_options). */
static int options_forbid_links(apr_pool_t *p, const char *args)
{
    int set = !is_one_of(*args, "+-\"'");
    const char *word;

    while (*(word = ap_getword_conf(p, &args)) != '\0') {
        if (strcasecmp(word, "-FollowSymLinks") == 0
            || strcasecmp(word, "-All") == 0) {
            return 1;
        }
        if (strcasecmp(word, "FollowSymLinks") == 0
            || strcasecmp(word, "All") == 0) {
            return 0;
        }
    }
    return set;
}

/* Notes what a section around the jail says about it: nobody looks at the
 * directories above a jail any more, neither for links nor for .htaccess. */
static void section_around(apr_pool_t *p, ap_directive_t *node, int depth)
{
    const char *args;

    for (; node != NULL; node = node->next) {
        if (apr_tolower(node->directive[0]) != 'a'
            && apr_tolower(node->directive[0]) != 'o') {
            continue; /* as nearly all */
        }
        args = node->args;
        if (strncasecmp(node->directive, "AllowOverride", 13) == 0) {
            if (strcasecmp(ap_getword_conf(p, &args), "None") != 0) {
                gen.overrides[depth] = 'Y';
            }
            else if (node->parent != NULL && node->parent->parent == NULL
                     && gen.overrides[depth] == '\0') {
                gen.overrides[depth] = 'N';
            }
        }
        if (strcasecmp(node->directive, "Options") == 0
            && options_forbid_links(p, node->args)) {
            gen.no_links = node;
        }
    }
}

/* Notes the path of a section, and what it is inside, or NULL. */
static void section_note(const ap_directive_t *node, const char *path,
                         const char *inner, int is_pattern, int bites)
{
    chroot_path *note = path_note(node, path, path, inner, "");

    note->bites = bites;
    if (is_pattern) {
        note->fate = FATE_INSIDE; /* for all that is known */
    }
}

/* Compiles <Directory> and <DirectoryMatch>; what is wrong with the syntax is
 * httpd's to say (core.c, dirsection). */
static void section_compile(apr_pool_t *p, apr_pool_t *ptemp,
                            ap_directive_t *node)
{
    chroot_words words = node_words(ptemp, node, 0);
    const char *word = words.count ? words.word[0] : "";
    int tilde = strcmp(word, "~") == 0;
    int regex = tilde || strcasecmp(node->directive, "<DirectoryMatch") == 0;
    chroot_lie lie = LIES_INSIDE;
    const char *written, *inner, *error = NULL;
    ap_directive_t *rule;
    int is_pattern;

    if (words.count != 1 + tilde || !words.is_closed) {
        return;
    }
    written = word = words.word[tilde];
    is_pattern = regex || path_is_pattern(word);
    if (!gen.fix_root) {
        section_note(node, word, word, is_pattern,
                     path_inside(ptemp, word) != NULL);
        return;
    }
    if (regex) {
        inner = regex_inside(ptemp, word);
        error = "may match by what stands outside of the jail; begin it with "
                "\"^\" and the jail's path and \"/\", or with what is inside";
    }
    else if (word[0] != '/') {
        inner = NULL;
        error = "is not an absolute path";
    }
    else if (is_pattern && strchr(word, '\\') != NULL) {
        inner = NULL;
        error = "is a pattern with a backslash in it";
    }
    else {
        word = path_trimmed(ptemp, path_canonical(ptemp, word));
        lie = LIES_ABOVE;
        inner = word[1] == '\0'
                    ? word
                    : section_inside(ptemp, node, word, &lie, &error);
    }
    if (inner == NULL) {
        node_fail(node, apr_psprintf(p, "%s \"%s\"> %s (ChrootDir %s)",
                                     node->directive, word, error, gen.jail));
        return;
    }
    if (lie == LIES_ABOVE) {
        section_around(ptemp, node->first_child,
                       ap_count_dirs(word) + (word[1] != '\0'));
    }
    rule = lie == LIES_ABOVE ? rule_in(node->first_child) : NULL;
    if (rule != NULL) {
        node_fail(rule, apr_psprintf(p,
                                     "RewriteRule in %s \"%s\">, which "
                                     "contains the jail, would see other "
                                     "paths; write it in <Directory \"%s\">",
                                     node->directive, word, gen.jail));
    }
    section_note(node, written, lie != LIES_OUTSIDE ? inner : NULL, is_pattern,
                 0);
    section_mark(p, node, word, regex, lie == LIES_OUTSIDE);
    node->args = apr_pstrcat(p, tilde ? "~ \"" : "\"",
                             word_escaped(ptemp, inner), "\">", NULL);
}

/* ---- Everything else */

/* Whether a path is named in text, which may be escaped, at a boundary. */
static int text_names(apr_pool_t *p, const char *text, const char *path)
{
    char *plain = apr_pstrdup(p, text), *to = plain;

    for (; *text != '\0'; text++) {
        if (*text != '\\') {
            *to++ = *text;
        }
    }
    *to = '\0';
    while ((plain = strstr(plain, path)) != NULL) {
        plain += strlen(path);
        if (!apr_isalnum(*plain) && *plain != '_' && *plain != '-') {
            return 1;
        }
    }
    return 0;
}

/* ---- Checks of directives that decide. Each gets a directive and its words
 * and returns an error text or NULL. */

/* Whether text is about paths of the file system. */
static int text_is_of_paths(const char *text)
{
    return strstr(text, "FILENAME") != NULL || strstr(text, "_ROOT") != NULL;
}

/* Whether a literal path, of which some of a pattern may be the rest, can only
 * have been meant as an inner one: it exists inside and not outside. */
static int path_is_inner(apr_pool_t *p, const char *path)
{
    path = apr_pstrmemdup(p, path, strcspn(path, "\\^$.[]|()?*+{}'\""));
    return first_exists(p, gen.jail, path) && !first_exists(p, "", path);
}

/* Whether a regular expression that is matched against a path means the same
 * inside; text behind the quote that ends it does not belong to it. */
static const char *check_regex(apr_pool_t *p, const char *re, char quote)
{
    const char *end = re, *inner;

    while (*end != '\0' && *end != quote) {
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    }
    re = apr_pstrmemdup(p, re, end - re);
    inner = regex_inside(p, re);
    if ((inner != NULL && strcmp(inner, re) == 0)
        || (*re == '^' && path_is_inner(p, re + 1))) {
        return NULL;
    }
    return apr_psprintf(p,
                        "\"%s\" is matched against paths inside the jail, "
                        "where \"%s/x\" is \"/x\"%s%s",
                        re, gen.jail, inner != NULL ? "; write " : "",
                        inner != NULL ? inner : "");
}

/* An expression, ap_expr's or mod_ssl's. */
static const char *check_expression(apr_pool_t *p, const ap_directive_t *node,
                                    char **words)
{
    const char *c, *next, *error = NULL;
    int of_paths;

    if (strpbrk(node->args, "=!'\"-") == NULL) {
        return NULL; /* as nearly all */
    }
    of_paths = text_is_of_paths(node->args);
    for (c = node->args; *c != '\0' && error == NULL; c++) {
        if (of_paths && is_one_of(*c, "=!") && c[1] == '~') {
            next = c + 2 + strspn(c + 2, " \t");
            next += *next == 'm';
            error = *next != '\0' ? check_regex(p, next + 1, *next) : NULL;
            c = next - (*next == '\0');
        }
        else if (of_paths
                 && (strncmp(c, "-strmatch", 9) == 0
                     || strncmp(c, "-strcmatch", 10) == 0
                     || strncmp(c, "-fnmatch", 8) == 0)) {
            error = "is matched against paths inside the jail; use a regular "
                    "expression";
        }
        else if (is_one_of(*c, "'\"") && c[1] == '/' && of_paths
                 && !path_is_inner(p, c + 1)) {
            error = "is compared with paths inside the jail";
        }
        else if (*c == '-' && is_one_of(c[1], "defslLhxF")
                 && is_one_of(c[2], " \t'\"")) {
            next = c + 2 + strspn(c + 2, " \t");
            if (is_one_of(*next, "'\"") && next[1] == '/'
                && !path_is_inner(p, next + 1)) {
                error = "looks for a file, and children see those inside "
                        "the jail only";
            }
        }
    }
    return error;
}

/* RewriteCond: a file test, an expression, a comparison or a pattern. */
static const char *check_cond(apr_pool_t *p, const ap_directive_t *node,
                              char **words)
{
    const char *string, *pattern;
    char quote;

    if (words[0] == NULL || words[1] == NULL) {
        return NULL;
    }
    string = raw_start(words[0]);
    pattern = raw_start(words[1]);
    quote = pattern != words[1] ? words[1][0] : '\0';
    if (strcasecmp(string, "expr") == 0) {
        return check_expression(p, node, words);
    }
    if (is_file_test(pattern)) {
        return *string == '/' && inner_raw(p, node, words, 0) == NULL
                       && !path_is_inner(p, string)
                   ? "looks for a file, and children see those inside the "
                     "jail only"
                   : NULL;
    }
    if (!text_is_of_paths(string)) {
        return NULL;
    }
    pattern += *pattern == '!';
    if (is_one_of(*pattern, "=<>-")) {
        return strchr(pattern, '/') == NULL
                       || path_is_inner(p, strchr(pattern, '/'))
                   ? NULL
                   : "is compared with paths inside the jail";
    }
    return check_regex(p, pattern, quote);
}

/* RewriteRule: the pattern, where it sees whole paths; and a URL that
 * mod_rewrite would take for a file in a child, when its first component
 * exists in the jail and not outside, which nobody has meant. */
static const char *check_rule(apr_pool_t *p, const ap_directive_t *node,
                              char **words)
{
    chroot_rule_sees sees = rule_sees(node);
    const char *pattern, *target;

    if (words[0] == NULL || words[1] == NULL) {
        return NULL;
    }
    pattern = raw_start(words[0]);
    target = raw_start(words[1]);
    if (sees == RULE_SEES_PATH) {
        return check_regex(p, pattern + (*pattern == '!'),
                           pattern != words[0] ? words[0][0] : '\0');
    }
    if (sees == RULE_SEES_URL && gen.below && !rule_is_url(words)
        && path_inside(p, target) == NULL && path_is_inner(p, target)) {
        return apr_psprintf(p,
                            "\"%s\" is a URL, but in the jail %s a file, "
                            "too; add the flag PT, or begin it with "
                            "%%{DOCUMENT_ROOT}",
                            target, gen.jail);
    }
    return NULL;
}

/* Whether a directive looks at the URL alone, whatever it says. */
static int node_is_of_url(const ap_directive_t *node)
{
    return (strncasecmp(node->directive, "SetEnvIf", 8) == 0
            && strncasecmp(node->args, "Request_URI", 11) == 0)
           || (strcasecmp(node->directive, "RewriteCond") == 0
               && strncmp(raw_start(node->args), "%{REQUEST_URI}", 14) == 0);
}

/* ---- What directives need in the jail. Each of these gets a directive and
 * its words. */

/* Notes that a directive needs the path inside, once for all; mode is that of
 * access(2), cure a command; it bites when something will fail without. */
static void need(apr_pool_t *p, const ap_directive_t *node, const char *path,
                 int mode, int bites, const char *cure)
{
    chroot_path *note;

    if (paths_full()
        || apr_hash_get(gen.needs, cure, APR_HASH_KEY_STRING) != NULL) {
        return;
    }
    cure = apr_pstrdup(gen.paths->pool, cure);
    apr_hash_set(gen.needs, cure, APR_HASH_KEY_STRING, cure);
    note = path_note(node, path, NULL, NULL, "");
    note->inner = note->written;
    note->mode = mode;
    note->bites = bites;
    note->cure = cure;
}

/* The same, of a file that is copied as it is. */
static void need_file(apr_pool_t *p, const ap_directive_t *node,
                      const char *path)
{
    need(p, node, path, R_OK, 1,
         apr_psprintf(p, "install -D -m 644 %s %s%s", path, gen.jail, path));
}

/* A program, with the libraries of the one that is run. */
static void need_program(apr_pool_t *p, const ap_directive_t *node,
                         const char *path, const char *run, int bites)
{
    need(p, node, path, X_OK, bites,
         apr_psprintf(p,
                      "for f in %s $(ldd %s | grep -o '/[^ ]*'); do install "
                      "-D $f %s$f; done",
                      path, run, gen.jail));
}

/* The host of a URL, a name unless it is an address. */
static void need_host(apr_pool_t *p, const ap_directive_t *node,
                      const char *host)
{
    size_t length = strcspn(host, ":/?# ");

    if (*host == '[' || length == 0 || strspn(host, "0123456789.") >= length) {
        return;
    }
    need_file(p, node,
              length == 9 && strncasecmp(host, "localhost", length) == 0
                  ? "/etc/hosts"
                  : "/etc/resolv.conf");
}

/* The host of a URL, if a word has one. */
static void need_url(apr_pool_t *p, const ap_directive_t *node,
                     const char *word)
{
    const char *url = strstr(word, "://");

    if (url != NULL && strstr(word, "unix:") == NULL
        && strncasecmp(word, "balancer:", 9) != 0) {
        need_host(p, node, url + 3);
    }
}

static void look_urls(apr_pool_t *p, const ap_directive_t *node, char **words)
{
    for (; *words != NULL; words++) {
        need_url(p, node, *words);
    }
}

/* A back end; mod_proxy spools large bodies to the first directory that it can
 * write to (apr_temp_dir_get). */
static void need_backend(apr_pool_t *p, const ap_directive_t *node,
                         const char *word)
{
    if (strstr(word, "://") != NULL) {
        need(p, node, "/tmp", W_OK | X_OK, 0,
             apr_psprintf(p, "mkdir -m 1777 %s/tmp", gen.jail));
        need_url(p, node, word);
    }
}

static void look_backends(apr_pool_t *p, const ap_directive_t *node,
                          char **words)
{
    for (; *words != NULL; words++) {
        need_backend(p, node, *words);
    }
}

static void look_rule(apr_pool_t *p, const ap_directive_t *node, char **words)
{
    static const char *const proxy[] = { "P", "proxy", NULL };

    if (words[0] != NULL && words[1] != NULL && rule_has(words, proxy)) {
        need_backend(p, node, raw_start(words[1]));
    }
}

/* Host names of whoever, if it is switched on. */
static void look_names(apr_pool_t *p, const ap_directive_t *node, char **words)
{
    if (*words != NULL && flag_value(*words) != 0) {
        need_file(p, node, "/etc/resolv.conf");
    }
}

/* Access by the name of the client's host, or by the file's owner. */
static void look_clients(apr_pool_t *p, const ap_directive_t *node,
                         char **words)
{
    int old = strcasecmp(node->directive, "Require") != 0, i;

    for (i = 0; words[i] != NULL; i++) {
        if (!old && !is_one_of(words[i][0], "fFhH")) {
            continue; /* as nearly all */
        }
        if (strcasecmp(words[i], "file-owner") == 0) {
            need_file(p, node, "/etc/passwd");
        }
        else if (strcasecmp(words[i], "file-group") == 0) {
            need_file(p, node, "/etc/group");
        }
        else if (strcasecmp(words[i], "forward-dns") == 0
                 || (!old && strcasecmp(words[i], "host") == 0)) {
            need_file(p, node, "/etc/resolv.conf");
        }
        else if (old && i > 0 && strcasecmp(words[i], "all") != 0
                 && strncasecmp(words[i], "env=", 4) != 0
                 && strpbrk(words[i], ":/") == NULL) {
            need_host(p, node, words[i]);
        }
    }
}

/* A directory in the home of each user, whose name is looked up. */
static void look_users(apr_pool_t *p, const ap_directive_t *node, char **words)
{
    if (*words == NULL || strcasecmp(*words, "enabled") == 0
        || strcasecmp(*words, "disabled") == 0) {
        return;
    }
    for (; *words != NULL; words++) {
        if (**words != '/' && strchr(*words, ':') == NULL) {
            need_file(p, node, "/etc/passwd");
        }
    }
}

/* CGI, or commands in SSI, that may be shell scripts. */
static void look_handler(apr_pool_t *p, const ap_directive_t *node,
                         char **words)
{
    const char *word;

    for (; *words != NULL; words++) {
        word = *words + (**words == '+');
        if (strcasecmp(word, "cgi-script") == 0
            || (strcasecmp(word, "Includes") == 0
                && (ap_find_linked_module("mod_cgi.c") != NULL
                    || ap_find_linked_module("mod_cgid.c") != NULL))) {
            need_program(p, node, "/bin/sh", "/bin/sh", 0);
        }
        need_backend(p, node, word);
    }
}

/* What a file is run by, execve(2): the interpreter of a script, or the loader
 * of a program, elf(5); NULL when it is neither. The program whose libraries
 * it takes goes to *run. */
static const char *program_runner(apr_pool_t *p, const char *path,
                                  const char **run)
{
    char text[4096];
    FILE *file = fopen(path, "re");
    size_t n = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
#ifdef __linux__
    ElfW(Ehdr) header;
    ElfW(Phdr) part;
    size_t at;
#endif

    if (file != NULL) {
        (void)fclose(file);
    }
    text[n] = '\0';
    if (text[0] == '#' && text[1] == '!') {
        *run = text + 2 + strspn(text + 2, " \t");
        *run = apr_pstrmemdup(p, *run, strcspn(*run, " \t\r\n"));
        return *run;
    }
#ifdef __linux__
    if (n < sizeof(header) || memcmp(text, ELFMAG, SELFMAG) != 0) {
        return NULL;
    }
    *run = path;
    memcpy(&header, text, sizeof(header));
    for (at = header.e_phoff;
         header.e_phnum-- > 0 && at < n && n - at >= sizeof(part);
         at += sizeof(part)) {
        memcpy(&part, text + at, sizeof(part));
        if (part.p_type == PT_INTERP && part.p_offset < n) {
            return apr_pstrdup(p, text + part.p_offset);
        }
    }
#endif
    return NULL;
}

/* The programs in a ScriptAlias directory in the jail. */
static void look_programs(apr_pool_t *p, const ap_directive_t *node,
                          char **words)
{
    const char *path, *name, *runner, *run;
    const struct dirent *entry;
    int left = INSPECT_ENTRIES;
    DIR *dir;

    for (path = *words; *words != NULL; words++) {
        path = *words;
    }
    if (paths_full() || path == NULL || *path != '/') {
        return;
    }
    path = path_trimmed(p, path_canonical(p, path));
    if (!gen.fix_root) {
        path = apr_pstrcat(p, gen.jail, path, NULL);
    }
    dir = path_inside(p, path) != NULL ? opendir(path) : NULL;
    while (dir != NULL && left-- > 0 && (entry = readdir(dir)) != NULL) {
        name = apr_pstrcat(p, path, "/", entry->d_name, NULL);
        runner = access(name, X_OK) == 0 ? program_runner(p, name, &run) : NULL;
        if (runner != NULL && *runner == '/') {
            need_program(p, node, runner, run, 1);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* Programs outside, on purpose. */
static void look_pipe(apr_pool_t *p, const ap_directive_t *node, char **words)
{
    for (; gen.paths != NULL && *words != NULL; words++) {
        if (**words == '|' || strncasecmp(*words, "prg:", 4) == 0) {
            find(node, 0,
                 apr_psprintf(p, "runs \"%s\", which is not jailed",
                              *words + (**words == '|' ? 1 : 4)));
        }
    }
}

/* Daemons that leave root by themselves. With chroot= mod_wsgi takes it off
 * the path of a script, which with FixRoot has it no more. */
static void look_daemon(apr_pool_t *p, const ap_directive_t *node, char **words)
{
    const char *text = "makes processes that are not jailed";

    for (; *words != NULL; words++) {
        if (strncmp(*words, "chroot=", 7) == 0) {
            text = gen.fix_root
                       ? "has a chroot= of its own, and finds no script"
                       : NULL;
        }
    }
    if (gen.paths == NULL || text == NULL) {
        return;
    }
    find(node, 1,
         gen.fix_root
             ? apr_pstrcat(p, text,
                           "; use mod_wsgi without daemons, and "
                           "WSGIImportScript",
                           NULL)
             : apr_psprintf(p, "%s; add chroot=%s home=/", text, gen.jail));
}

/* A database's host, or the directory of its socket: children look for both
 * when a connection is lost. */
static void look_database(apr_pool_t *p, const ap_directive_t *node,
                          char **words)
{
    const char *host = *words != NULL ? strstr(*words, "host=") : NULL;
    const char *end;

    if (host == NULL || gen.paths == NULL) {
        return;
    }
    host += strlen("host=");
    end = host + strcspn(host, " ");
    if (*host != '/') {
        need_host(p, node, apr_pstrmemdup(p, host, strcspn(host, ", ")));
    }
    else if (memchr(host, ',', end - host) == NULL) {
        find(node, 1,
             apr_psprintf(p,
                          "names a socket that children cannot connect to "
                          "again; add a host: host=%.*s,127.0.0.1",
                          (int)(end - host), host));
    }
}

/* The names of files that httpd looks for in directories. */
static void look_access_files(apr_pool_t *p, const ap_directive_t *node,
                              char **words)
{
    for (; *words != NULL; words++) {
        APR_ARRAY_PUSH(gen.access_names, const char *) = apr_pstrdup(
            gen.access_names->pool, *words);
    }
}

/* The directives that name paths, or could: httpd 2.4's own by module, then
 * those of others. */
static const chroot_directive directives[] = {
    /* mod_alias.c, core.c, mod_vhost_alias.c, mod_userdir.c */
    { "Alias", DIR_MAP, LAST, .translate = inner_alias },
    { "AliasMatch", DIR_MAP, 1, .translate = outer_path },
    { "ScriptAlias", DIR_MAP, LAST, .translate = inner_alias,
      .look = look_programs },
    { "ScriptAliasMatch", DIR_MAP, 1, .translate = outer_path },
    { "DocumentRoot", DIR_MAP, 0, .translate = outer_path },
    { "WSGIScriptAlias WSGIScriptAliasMatch", DIR_MAP, 1,
      .translate = outer_path },
    { "VirtualDocumentRoot VirtualDocumentRootIP VirtualScriptAlias "
      "VirtualScriptAliasIP",
      DIR_MAP, .word = 0 },
    { "UserDir", DIR_MAP_INNER, EACH, .translate = inner_userdir,
      .look = look_users },
    /* mod_rewrite.c */
    { "RewriteRule", DIR_MAP_INNER, 1, inner_target, check_rule, look_rule, 1 },
    { "RewriteCond", DIR_DECIDE, 0, inner_tested, check_cond, .raw = 1 },
    { "RewriteMap", DIR_CHECKED, 1, .look = look_pipe },
    /* mod_authn_file.c, mod_auth_digest.c, mod_authn_dbm.c, mod_authz_*.c */
    { "AuthUserFile AuthGroupFile AuthDBMUserFile AuthDBMGroupFile",
      DIR_TRANSLATE, 0, .translate = inner_rooted },
    /* mod_cache_disk.c, mod_cache.c */
    { "CacheRoot", DIR_TRANSLATE, 0, .translate = inner_path },
    { "CacheLockPath", DIR_TRANSLATE, 0, .translate = inner_rooted },
    /* mod_dav_fs.c, mod_dav_lock.c; mod_cgi.c, mod_cgid.c; mod_proxy_express.c;
     * mod_lbmethod_heartbeat.c, mod_heartmonitor.c; mod_md_config.c */
    { "DavLockDB DavGenericLockDB ScriptLog ProxyExpressDBMFile "
      "HeartbeatStorage MDCACertificateFile",
      DIR_TRANSLATE, 0, .translate = inner_rooted },
    /* mod_proxy.c, core.c */
    { "ProxyPass ProxyPassMatch BalancerMember ProxySet <Proxy", DIR_TRANSLATE,
      EACH, .translate = inner_socket, .look = look_backends },
    { "SetHandler", DIR_TRANSLATE, 0, .translate = inner_socket,
      .look = look_handler },
    /* mod_ext_filter.c */
    { "ExtFilterDefine", DIR_TRANSLATE, EACH, .translate = inner_command,
      .raw = 1 },
    /* mod_lua.c */
    { "LuaRoot LuaPackagePath LuaPackageCPath LuaHookTranslateName "
      "LuaHookFixups LuaHookMapToStorage LuaHookTypeChecker "
      "LuaHookAccessChecker LuaHookAuthChecker LuaHookCheckUserID LuaHookLog "
      "LuaHookPreTranslateName LuaQuickHandler",
      DIR_TRANSLATE, 0, .translate = inner_path },
    { "LuaMapHandler LuaInputFilter LuaOutputFilter", DIR_TRANSLATE, 1,
      .translate = inner_path },
    /* mod_security2 */
    { "SecDataDir SecTmpDir SecUploadDir SecAuditLogStorageDir", DIR_TRANSLATE,
      0, .translate = inner_path },
    /* PHP's apache2handler SAPI */
    { "php_value php_admin_value", DIR_TRANSLATE, 1, .translate = inner_php },
    /* core.c */
    { "<Directory <DirectoryMatch", .kind = DIR_SECTION },
    { "<VirtualHost", .kind = DIR_SERVER },
    { "AccessFileName", DIR_KNOWN, .look = look_access_files },
    /* Expressions and patterns: core.c, mod_authz_core.c, mod_setenvif.c,
     * mod_ssl */
    { "<If <ElseIf <AuthzProviderAlias SetEnvIfExpr SSLRequire", DIR_DECIDE,
      .check = check_expression },
    { "Require", DIR_DECIDE, .check = check_expression, .look = look_clients },
    { "SetEnvIf SetEnvIfNoCase", .kind = DIR_DECIDE },
    /* Looked at outside and opened inside, or by both: mod_ssl, mod_fcgid,
     * whose manager is jailed, mod_ldap; mod_md, mod_dbd, mod_wsgi, providers
     * of mod_socache */
    { "SSLCACertificatePath SSLCARevocationPath SSLProxyCACertificatePath "
      "SSLProxyCARevocationPath FcgidIPCDir FcgidWrapper",
      DIR_CHECKED, .word = 0 },
    { "LDAPTrustedClientCert LDAPTrustedGlobalCert", DIR_CHECKED, .word = 1 },
    { "SSLSessionCache SSLStaplingCache AuthnCacheSOCache CacheSocache "
      "MDStoreDir WSGISocketPrefix",
      DIR_SHARED, .word = 0 },
    { "DBDParams", DIR_SHARED, .word = 0, .look = look_database },
    /* What else needs something: core.c, mod_access_compat.c, mod_mime.c,
     * mod_authnz_ldap.c, mod_proxy.c, mod_ssl; what is not jailed: mod_wsgi */
    { "HostnameLookups SSLUseStapling SSLOCSPEnable ProxyRequests", DIR_KNOWN,
      .look = look_names },
    { "Allow Deny", DIR_KNOWN, .look = look_clients },
    { "AuthLDAPURL ProxyRemote SSLStaplingForceURL SSLOCSPDefaultResponder",
      DIR_KNOWN, .look = look_urls },
    { "AddHandler Options", DIR_KNOWN, .look = look_handler },
    { "WSGIDaemonProcess", DIR_KNOWN, .look = look_daemon },
    /* The parent's alone: core.c, mpm_common.c, mod_log_*.c, mod_mime*.c,
     * mod_unixd.c, mod_ssl, mod_md, ...; or what children use before they are
     * locked in, or back ends */
    { "ErrorLog CustomLog TransferLog GlobalLog ForensicLog", DIR_KNOWN,
      .look = look_pipe },
    { "ChrootDir CoreDumpDirectory PidFile ScoreBoardFile Mutex "
      "TypesConfig MimeMagicFile AuthLDAPCharsetConfig CacheFile MMapFile "
      "SSLCertificateFile SSLCertificateKeyFile SSLCertificateChainFile "
      "SSLCACertificateFile SSLCARevocationFile SSLPassPhraseDialog "
      "MDCertificateFile MDCertificateKeyFile ScriptSock "
      "FcgidProcessTableFile WSGIImportScript WSGIPythonHome WSGIPythonPath "
      "ProxyFCGISetEnvIf",
      .kind = DIR_KNOWN },
    /* URLs, and names without a directory: core.c, mod_alias.c, mod_dir.c,
     * mod_autoindex.c, mod_actions.c, mod_rewrite.c, mod_proxy.c */
    { "<Location <LocationMatch Redirect RedirectMatch "
      "RedirectPermanent RedirectTemp ErrorDocument Action Script "
      "FallbackResource DirectoryIndex ServerPath AddIcon DefaultIcon "
      "IndexStyleSheet HeaderName ReadmeName RewriteBase ProxyPassReverse",
      .kind = DIR_KNOWN },
    { .names = NULL }
};

/* The rows by name: lists of those whose names are alike. Configurations of
 * many virtual hosts have half a million directives. */
typedef struct chroot_row {
    const char *name;
    size_t length; /* of name */
    const chroot_directive *row;
    struct chroot_row *next;
} chroot_row;

static chroot_row **row_list(chroot_row **rows, const char *name, size_t length)
{
    return &rows[(length * 59 + ((name[1] & 31U) << 5)
                  + (name[length - 1] & 31U))
                 % ROW_LISTS];
}

static chroot_row **rows_make(apr_pool_t *p)
{
    chroot_row **rows = apr_pcalloc(p, sizeof(chroot_row *[ROW_LISTS]));
    const chroot_directive *row;
    chroot_row *one, **list;
    const char *name;
    size_t length;

    for (row = directives; row->names != NULL; row++) {
        for (name = row->names; *name != '\0'; name += strspn(name, " ")) {
            length = strcspn(name, " ");
            list = row_list(rows, name, length);
            one = apr_palloc(p, sizeof(*one));
            one->name = name;
            one->length = length;
            one->row = row;
            one->next = *list;
            *list = one;
            name += length;
        }
    }
    return rows;
}

/* The row of a directive, or NULL. */
static const chroot_directive *node_row(chroot_row **rows,
                                        const ap_directive_t *node)
{
    size_t length = strlen(node->directive);
    const chroot_row *one = *row_list(rows, node->directive, length);

    while (one != NULL
           && (one->length != length
               || strncasecmp(one->name, node->directive, length) != 0)) {
        one = one->next;
    }
    return one != NULL ? one->row : NULL;
}

/* Whether two names, the second below the jail, are the same directory. */
static int same_directory(apr_pool_t *p, const char *outer, const char *inner)
{
    struct stat a, b;

    return stat(outer, &a) == 0
           && stat(apr_pstrcat(p, gen.jail, inner, NULL), &b) == 0
           && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Looks for what is left of the jail's path when a directive was translated:
 * an error where it decides about access, a warning where nobody knows. */
static void node_scan(apr_pool_t *p, apr_pool_t *ptemp, ap_directive_t *node,
                      const chroot_directive *row)
{
    const chroot_root *root = (const chroot_root *)gen.roots->elts;
    int i;

    if (row != NULL && (row->kind != DIR_DECIDE || node_is_of_url(node))) {
        return;
    }
    for (i = 0; i < gen.roots->nelts; i++, root++) {
        if (strstr(node->args, root->outer + 1) == NULL
            && strchr(node->args, '\\') == NULL) {
            continue; /* as nearly all */
        }
        if (!text_names(ptemp, node->args, root->outer)) {
            continue;
        }
        if (row != NULL) {
            node_fail(node,
                      apr_psprintf(p,
                                   "%s names \"%s\", but what it "
                                   "decides about are paths inside the "
                                   "jail: \"%s/x\" is \"/x\" there",
                                   node->directive, root->outer, root->outer));
        }
        else if (!same_directory(ptemp, gen.jail, root->outer)) {
            find(node, 1,
                 apr_psprintf(p,
                              "names \"%s\" and is not known to "
                              "ChrootFixRoot: children see \"/\"",
                              root->outer));
        }
        return;
    }
}

/* The commands that make the self-link for a spelling of the jail: a relative
 * link, one ".." less than the path has components. */
static const char *self_link_cure(apr_pool_t *p, const char *outer)
{
    const char *up = ".", *c;

    for (c = strchr(outer + 1, '/'); c != NULL; c = strchr(c + 1, '/')) {
        up = up[1] == '\0' ? ".." : apr_pstrcat(p, "../", up, NULL);
    }
    return apr_psprintf(p, "mkdir -p %s && ln -s %s %s%s",
                        path_parent(p, apr_pstrcat(p, gen.jail, outer, NULL)),
                        up, gen.jail, outer);
}

/* The path in a word of a directive whose path has one name for both sides, or
 * NULL. Of the types of maps and caches only some are files (mod_rewrite.c,
 * mod_socache_dbm.c); DBDParams has NAME=VALUE. */
static const char *shared_path(apr_pool_t *p, const ap_directive_t *node,
                               const char *word)
{
    const char *path = strchr(word, ':');

    if (strcasecmp(node->directive, "DBDParams") == 0) {
        path = strstr(word, "=/");
        word = path != NULL ? path + 1 : word;
        return *word == '/' && strstr(node->args, "host=/") == NULL
                   ? apr_pstrmemdup(p, word, strcspn(word, ", "))
                   : NULL;
    }
    if (strcasecmp(node->directive, "FcgidWrapper") == 0) {
        word = apr_pstrmemdup(p, word, strcspn(word, " "));
    }
    if (path != NULL && strncmp(word, "txt:", 4) != 0
        && strncmp(word, "rnd:", 4) != 0 && strncmp(word, "dbm", 3) != 0) {
        return NULL;
    }
    word = path != NULL ? path + 1 : word;
    return *word != '\0' ? ap_server_root_relative(p, word) : NULL;
}

/* Notes a directive whose path children look for by the name that it has
 * outside, and warns when that is not valid inside. */
static void node_share(apr_pool_t *p, const ap_directive_t *node,
                       const chroot_directive *row, const chroot_words *words)
{
    const char *path = words->count > row->word
                           ? shared_path(p, node, words->word[row->word])
                           : NULL;
    const char *inner, *dir, *cure;
    chroot_path *note;
    struct stat st;

    if (path == NULL) {
        return;
    }
    dir = path_parent(p, path);
    note = path_note(node, path, path, path, "");
    note->bites = 0;
    inner = apr_pstrcat(p, gen.jail, path, NULL);
    if (same_directory(p, dir, dir)
        || (row->kind == DIR_CHECKED && stat(inner, &st) == 0)) {
        return;
    }
    note->fate = FATE_OUTSIDE;
    if (stat(dir, &st) == -1) {
        cure = apr_psprintf(p, "make the directory: mkdir -p %s", dir);
    }
    else if (row->kind == DIR_CHECKED && path_inner(p, path) == NULL) {
        cure = apr_psprintf(p, "copy it: mkdir -p %s && cp -a %s %s",
                            path_parent(p, inner), path, inner);
    }
    else {
        cure = apr_psprintf(
            p, "%smake it valid there: %s",
            path_inner(p, path) != NULL
                ? ""
                : apr_psprintf(p, "write a path below %s and ", gen.jail),
            self_link_cure(p, gen.jail));
    }
    find(node, 1,
         apr_psprintf(p,
                      "names \"%s\", which is used outside and inside the jail "
                      "by the same name; %s",
                      path, cure));
}

/* Looks at, checks and translates one directive that is in a row; with FixRoot
 * off it is only looked at. Whether it is right. */
static int node_compile(apr_pool_t *p, apr_pool_t *ptemp, ap_directive_t *node,
                        const chroot_directive *row)
{
    chroot_words words = node_words(ptemp, node, row->raw);
    const char *error = NULL;

    if (row->kind == DIR_MAP) {
        node_map(ptemp, node, row, &words);
    }
    if (row->look != NULL) {
        row->look(ptemp, node, words.word);
    }
    if (row->check != NULL && gen.fix_root) {
        error = row->check(ptemp, node, words.word);
    }
    if (error != NULL) {
        node_fail(node,
                  apr_psprintf(p, "%s %s: %s (ChrootDir %s)", node->directive,
                               node->args, error, gen.jail));
        return 0;
    }
    if (row->translate != NULL) {
        node_translate(p, ptemp, node, row, &words);
    }
    if (row->kind == DIR_SHARED || row->kind == DIR_CHECKED) {
        node_share(ptemp, node, row, &words);
    }
    return 1;
}

/* First pass: by which spellings are URLs mapped into the jail? What cannot be
 * compiled before that is known goes to later, sections after what stands in
 * them. */
static void tree_map(apr_pool_t *p, apr_pool_t *ptemp, chroot_row **rows,
                     ap_directive_t *node, apr_array_header_t *later)
{
    const chroot_directive *row;
    chroot_words words;
    chroot_node *one;

    for (; node != NULL && (gen.fix_root || !paths_full()); node = node->next) {
        if (node->first_child != NULL) {
            tree_map(p, ptemp, rows, node->first_child, later);
        }
        row = node_row(rows, node);
        if (row == NULL ? !gen.fix_root || strpbrk(node->args, "/\\") == NULL
                        : row->kind == DIR_KNOWN && row->look == NULL) {
            continue; /* nothing to look for */
        }
        if (row != NULL && row->kind == DIR_MAP) {
            (void)node_compile(p, ptemp, node, row);
        }
        else if (row != NULL && row->kind == DIR_SERVER) {
            section_around(ptemp, node->first_child, 0);
        }
        else {
            if (row != NULL && row->kind == DIR_MAP_INNER) {
                words = node_words(ptemp, node, row->raw);
                node_map(ptemp, node, row, &words);
            }
            one = apr_array_push(later);
            one->node = node;
            one->row = row;
        }
        if (node->parent == NULL) {
            apr_pool_clear(ptemp);
        }
    }
}

/* A mapping to a directory above the jail maps to each spelling in it, too. */
static void roots_below_targets(void)
{
    chroot_root *root = (chroot_root *)gen.roots->elts;
    int i, j;

    for (i = 0; i < gen.targets->nelts; i++) {
        for (j = 0; j < gen.roots->nelts; j++) {
            root[j].mapped |= path_below(
                                  root[j].outer,
                                  APR_ARRAY_IDX(gen.targets, i, const char *))
                              != NULL;
        }
    }
}

/* Second pass: what has to wait for the first. */
static void nodes_compile(apr_pool_t *p, apr_pool_t *ptemp,
                          const apr_array_header_t *later)
{
    const chroot_node *one = (const chroot_node *)later->elts;
    int i;

    for (i = 0; i < later->nelts && (gen.fix_root || !paths_full());
         i++, one++) {
        if (one->row != NULL && one->row->kind == DIR_SECTION) {
            section_compile(p, ptemp, one->node);
        }
        else if ((one->row == NULL
                  || node_compile(p, ptemp, one->node, one->row))
                 && gen.fix_root) {
            node_scan(p, ptemp, one->node, one->row);
        }
        if (i % NODES_BATCH == 0) {
            apr_pool_clear(ptemp);
        }
    }
}

/* What stands at the jail's own path, by one of its spellings, in the jail:
 * "absent", "correct" when it is the self-link, a relative link that makes
 * outer paths valid inside, or what is wrong with it. */
static const char *self_link_state(apr_pool_t *p, const char *outer)
{
    const char *path = apr_pstrcat(p, gen.jail, outer, NULL);
    struct stat st;
    char target;

    if (lstat(path, &st) == -1) {
        return "absent";
    }
    if (!S_ISLNK(st.st_mode)) {
        return "wrong, no link";
    }
    if (readlink(path, &target, 1) != 1 || target == '/') {
        return "dangerous, an absolute link";
    }
    if (same_directory(p, gen.jail, outer)) {
        return "correct";
    }
    return path_below(path_real(p, path), gen.jail) == NULL
               ? "dangerous, a link that leads out of the jail"
               : "wrong, a link to something else";
}

/* Only when it is one of the first two it is always clear which of the two a
 * path is. Returns an error text or NULL. */
static const char *self_link_check(apr_pool_t *p, const char *outer)
{
    const char *state = self_link_state(p, outer);

    if (strcmp(state, "absent") == 0 || strcmp(state, "correct") == 0) {
        return NULL;
    }
    return apr_psprintf(p,
                        "%s%s exists and is %s, so that paths could mean two "
                        "things; remove it, or make it a relative link to the "
                        "jail: %s",
                        gen.jail, outer, state, self_link_cure(p, outer));
}

/* Looks for a file by one of the names of AccessFileName that httpd would read
 * above the jail, and children cannot. Returns an error text or NULL. */
static const char *htaccess_check(apr_pool_t *p, const char *outer)
{
    const char *path, *end;
    int depth = 1, above, i;
    struct stat st;

    for (end = outer; end != NULL; end = strchr(end + 1, '/'), depth++) {
        for (above = depth; above > 0 && !gen.overrides[above]; above--) {
            continue; /* what is not set is inherited */
        }
        for (i = 0; gen.overrides[above] != 'N' && i < gen.access_names->nelts;
             i++) {
            path = apr_psprintf(p, "%.*s/%s", (int)(end - outer), outer,
                                APR_ARRAY_IDX(gen.access_names, i, char *));
            if (lstat(path, &st) == 0) {
                return apr_psprintf(p,
                                    "%s applies to all that is served, and "
                                    "children cannot read it; set "
                                    "AllowOverride None for its directory, or "
                                    "move what it says into <Directory "
                                    "\"%s\"> and remove it",
                                    path, gen.jail);
            }
        }
    }
    return NULL;
}

/* What makes it impossible to keep the meaning of a configuration in a jail of
 * this spelling. Returns an error text or NULL. */
static const char *root_check(apr_pool_t *p, const chroot_root *root)
{
    const char *error = self_link_check(p, root->outer);

    if (error == NULL && root->mapped) {
        error = htaccess_check(p, root->outer);
    }
    if (error == NULL && root->mapped && gen.no_links != NULL
        && strcmp(path_real(p, root->outer), root->outer) != 0) {
        error = apr_psprintf(p,
                             "URLs are mapped through the symbolic link %s, "
                             "which Options at %s:%d do not allow following",
                             root->outer, gen.no_links->filename,
                             gen.no_links->line_num);
    }
    return error;
}

/* Refuses a configuration because of what is in the jail; the report, which
 * starts no server, shows it all the same. */
static void refuse(apr_pool_t *p, ap_directive_t *node, const char *text)
{
    if (gen.dump) {
        find(node, 1,
             apr_psprintf(p, "lets the server refuse to start: %s", text));
    }
    else {
        node_fail(node, text);
    }
}

/* Compiles the configuration for children that see the jail only. */
static void compile_tree(apr_pool_t *p, apr_pool_t *ptemp)
{
    chroot_row **rows = rows_make(ptemp);
    apr_array_header_t *later = apr_array_make(ptemp, 64, sizeof(chroot_node));
    const char *error = NULL, *path;
    apr_pool_t *scratch;
    struct stat st;
    int i;

    apr_pool_create(&scratch, ptemp);
    gen.targets = apr_array_make(ptemp, 8, sizeof(const char *));
    gen.access_names = apr_array_make(ptemp, 2, sizeof(const char *));
    APR_ARRAY_PUSH(gen.access_names, const char *) = ".htaccess";
    gen.overrides = apr_pcalloc(ptemp, PATH_MAX);
    if (ap_find_linked_module("mod_php.c") != NULL) {
        need(ptemp, gen.node, TZDIR, X_OK, 1,
             apr_psprintf(ptemp, "mkdir -p %s%s && cp -R %s/. %s%s", gen.jail,
                          TZDIR, TZDIR, gen.jail, TZDIR));
    }
    if (ap_find_linked_module("mod_fcgid.c") != NULL
        && node_last("FcgidIPCDir") == NULL && stat(FCGID_SOCKETS, &st) == 0) {
        need(ptemp, gen.node, FCGID_SOCKETS, W_OK | X_OK, 1,
             apr_psprintf(ptemp, "mkdir -p %s%s && chown --reference=%s %s%s",
                          gen.jail, FCGID_SOCKETS, FCGID_SOCKETS, gen.jail,
                          FCGID_SOCKETS));
    }
    section_around(ptemp, ap_conftree, 0);
    tree_map(p, scratch, rows, ap_conftree, later);
    roots_below_targets();
    nodes_compile(p, scratch, later);
    apr_pool_destroy(scratch);
    if (!gen.fix_root) {
        return;
    }
    for (i = 0; i < gen.roots->nelts && error == NULL; i++) {
        error = root_check(p, &APR_ARRAY_IDX(gen.roots, i, chroot_root));
    }
    path = apr_pstrcat(p, gen.jail, OUTSIDE, NULL);
    if (error == NULL && lstat(path, &st) == 0) {
        error = apr_psprintf(p, "%s exists; remove it", path);
    }
    if (error != NULL) {
        refuse(p, gen.node,
               apr_psprintf(p, "ChrootDir \"%s\": %s", gen.jail, error));
    }
}

/* With FixRoot off, paths are inner ones. The self-link makes the whole jail
 * reachable by URL, below a directory that URLs are mapped to and that it
 * stands in: refused. */
static void tree_expose(apr_pool_t *p, chroot_row **rows, ap_directive_t *node)
{
    const chroot_directive *row;
    chroot_words words;
    const char *path, *rest;
    int i;

    for (; node != NULL; node = node->next) {
        tree_expose(p, rows, node->first_child);
        row = node_row(rows, node);
        if (row == NULL
            || (row->kind != DIR_MAP && row->kind != DIR_MAP_INNER)) {
            continue;
        }
        words = node_words(p, node, row->raw);
        for (i = 0; i < words.count; i++) {
            path = mapping_path(p, row, &words, i, &rest);
            if (path == NULL || path_below(gen.jail, path) == NULL
                || (row->raw && !first_exists(p, gen.jail, path))) {
                continue;
            }
            refuse(p, node,
                   apr_psprintf(p,
                                "%s %s: the link %s%s, which leads to the "
                                "jail itself, would have a URL; remove it, or "
                                "set ChrootFixRoot On",
                                node->directive, node->args, gen.jail,
                                gen.jail));
            break;
        }
    }
}

/* mod_cgid's daemon binds its socket outside, and children connect to the same
 * name inside: without the self-link, or something like it, they try in vain
 * for half a minute (mod_cgid.c, connect_to_daemon). */
static void compile_cgid(apr_pool_t *p)
{
    const ap_directive_t *node = node_last("ScriptSock");
    const char *word = node != NULL ? node_word(p, node) : NULL;
    char *path;

    if (ap_find_linked_module("mod_cgid.c") == NULL
        || ap_find_linked_module("mod_cgi.c") != NULL) {
        return;
    }
    path = ap_runtime_dir_relative(p, word != NULL ? word : "cgisock");
    if (path == NULL
        || same_directory(p, ap_make_dirstr_parent(p, path),
                          ap_make_dirstr_parent(p, path))) {
        return;
    }
    gen.cgid_deaf = 1;
    find(
        word != NULL ? node : gen.node, 1,
        apr_psprintf(
            p,
            "children cannot reach mod_cgid's socket %s, its requests are "
            "answered with 503: write \"ScriptSock %s/run/cgisock\" and make it "
            "valid inside, mkdir -p %s/run && %s; or use mod_cgi",
            path, gen.jail, gen.jail, self_link_cure(p, gen.jail)));
}

/* The generation ends with its configuration. */
static apr_status_t generation_end(void *unused)
{
    gen.configured = 0;
    fd_close(&gen.fd);
    return APR_SUCCESS;
}

static void register_request_hooks(void);

/* Parent, root or an ordinary user (-t), one thread; twice at start. The tree
 * is complete and nothing of it has been carried out yet. */
static int chroot_pre_config(apr_pool_t *pconf, apr_pool_t *plog,
                             apr_pool_t *ptemp)
{
    memset(&gen, 0, sizeof(gen));
    gen.fd = gen.tasks = gen.status = -1;
    apr_pool_cleanup_register(pconf, NULL, generation_end,
                              apr_pool_cleanup_null);
    gen.dump = ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL
               && ap_exists_config_define("DUMP_CHROOT");
    compile_jail(pconf);
    compile_fix_root(pconf);
    if (gen.jail == NULL) {
        return OK;
    }
    if (is_final_pass()) {
        gen.paths = apr_array_make(ptemp, 64, sizeof(chroot_path));
        gen.needs = apr_hash_make(ptemp);
    }
    if (gen.mount) {
        return OK;
    }
    if (gen.fix_root || gen.paths != NULL) {
        compile_tree(pconf, ptemp);
    }
    if (!gen.fix_root && gen.jail[1] != '\0'
        && same_directory(ptemp, gen.jail, gen.jail)) {
        tree_expose(pconf, rows_make(ptemp), ap_conftree);
    }
    compile_cgid(pconf);
    register_request_hooks();
    return OK;
}

/* ------------------------------------------------------------------------
 * The view: with ChrootFixRoot Mount, children see a file system of their own
 * that holds ChrootDir, what URLs are mapped to and what ChrootBind names, each
 * by its own name
 */

/* Who wants a path: of two the latter says how it is mounted */
typedef enum { RANK_MAPPED, RANK_NEEDED, RANK_EXPLICIT } view_rank;

/* What is at a path of the view: a mount, a symbolic link, or a directory that
 * leads to one of these. */
typedef struct {
    const char *path;   /* outside, and in the view */
    const char *target; /* of a link */
    struct stat st;     /* as it is outside */
    int bind;           /* it is a mount */
    int writable;
    view_rank rank;
    int below; /* a mount above it is in the view: the place is there */
    int tree;  /* to be mounted, while the view is built */
} view_step;

/* Directives that put paths into the view: which characters of a path make it
 * depend on the request, and which word it is (mod_alias.c, mod_userdir.c,
 * mod_vhost_alias.c, mod_wsgi.c) */
enum { WORD_LAST = -1, WORD_ALL = -2 };

static const struct {
    const char *name;
    const char *variables;
    int word;
    view_rank rank;
} view_rows[] = {
    { "ChrootBind", "", WORD_ALL, RANK_EXPLICIT },
    { "DocumentRoot", "", 0, RANK_MAPPED },
    { "Alias", "", WORD_LAST, RANK_MAPPED },
    { "AliasMatch", "$", WORD_LAST, RANK_MAPPED },
    { "ScriptAlias", "", WORD_LAST, RANK_MAPPED },
    { "ScriptAliasMatch", "$", WORD_LAST, RANK_MAPPED },
    { "UserDir", "*", WORD_ALL, RANK_MAPPED },
    { "VirtualDocumentRoot", "%", 0, RANK_MAPPED },
    { "VirtualDocumentRootIP", "%", 0, RANK_MAPPED },
    { "VirtualScriptAlias", "%", 0, RANK_MAPPED },
    { "VirtualScriptAliasIP", "%", 0, RANK_MAPPED },
    { "WSGIScriptAlias", "", 1, RANK_MAPPED },
    { "WSGIScriptAliasMatch", "$", 1, RANK_MAPPED },
};

/* How many mapped paths outside ChrootDir are mounted, and how many links a
 * path may lead through: path_resolution(7) */
#define VIEW_MAPPED_MAX 1024
#define VIEW_LINKS_MAX  40

/* The builder's seconds, though it needs a thousandth of one, and its stack */
#define VIEW_DEADLINE 10
#define VIEW_STACK    ((size_t)64 * 1024)

/* A view, for as long as the server runs: a restart loads this module anew. */
#define VIEW_KEPT "mod_chroot " CHROOT_VERSION " view"

typedef struct {
    int ns, fd;     /* its namespace, and its root */
    int seal_error; /* 0: sealed; EXDEV: root can climb out of it */
} view_kept;

/* This generation's plan, and the view that its children see */
static struct {
    apr_array_header_t *steps; /* of view_step *, sorted by path */
    apr_hash_t *by_path;
    const char *error;
    view_kept *kept;
    struct stat jail;
    int mapped;
} view;

/* What the builder shares with the parent: what it has made, with which call it
 * is busy, and its descriptors, which are the parent's. */
static struct {
    view_kept made;
    const char *call, *path;
    int error, done, place, from;
} built;

/* A generation has ended. The last view that worked stays. */
static apr_status_t view_reset(void *unused)
{
    if (view.kept != NULL) {
        gen.fd = -1;
    }
    memset(&view, 0, sizeof(view));
    return APR_SUCCESS;
}

/* Whether User or Group of the configuration, or everybody, may write. */
static int user_may_write(const struct stat *st)
{
    return (st->st_uid == ap_unixd_config.user_id && (st->st_mode & S_IWUSR))
           || (st->st_gid == ap_unixd_config.group_id
               && (st->st_mode & S_IWGRP))
           || (st->st_mode & S_IWOTH);
}

static int is_device(const struct stat *st)
{
    return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* The step at a path, a new directory when there was none. */
static view_step *view_step_at(const char *path, const struct stat *st)
{
    view_step *step = apr_hash_get(view.by_path, path, APR_HASH_KEY_STRING);

    if (step == NULL) {
        step = apr_pcalloc(view.steps->pool, sizeof(*step));
        step->path = apr_pstrdup(view.steps->pool, path);
        step->st = *st;
        step->tree = -1;
        APR_ARRAY_PUSH(view.steps, view_step *) = step;
        apr_hash_set(view.by_path, step->path, APR_HASH_KEY_STRING, step);
    }
    return step;
}

/* Plans a symbolic link in the directory here. User must not choose what is
 * mounted: a link that User can replace is not followed. Returns its target,
 * or NULL with errno. */
static const char *view_link(const char *here, const char *name,
                             const struct stat *st)
{
    view_step *step = view_step_at(name, st);
    char target[PATH_MAX];
    struct stat dir;
    ssize_t n = readlink(name, target, sizeof(target));

    if (n == -1 || lstat(here, &dir) == -1) {
        return NULL;
    }
    if (st->st_uid == ap_unixd_config.user_id || user_may_write(&dir)) {
        errno = EXDEV;
        return NULL;
    }
    step->target = apr_pstrmemdup(view.steps->pool, target, n);
    return step->target;
}

/* Plans all that leads to an absolute path: directories, and symbolic links as
 * they are. Returns the path that it really is, with st, or NULL with errno. */
static const char *view_way(apr_pool_t *p, const char *path, struct stat *st)
{
    const char *here = "/", *next = here, *rest = path, *target;
    int links = 0;
    size_t length;

    while (lstat(next, st) == 0) {
        if (S_ISLNK(st->st_mode)) {
            errno = ELOOP;
            target = links++ < VIEW_LINKS_MAX ? view_link(here, next, st)
                                              : NULL;
            if (target == NULL) {
                return NULL;
            }
            rest = apr_pstrcat(p, target, "/", rest, NULL);
            next = *target == '/' ? "/" : here;
            continue;
        }
        here = next;
        rest += strspn(rest, "/");
        if (*rest == '\0') {
            return here;
        }
        if (!S_ISDIR(st->st_mode)) {
            errno = ENOTDIR;
            return NULL;
        }
        (void)view_step_at(here, st);
        length = strcspn(rest, "/");
        if (length == 2 && strncmp(rest, "..", 2) == 0) {
            next = path_parent(p, here);
        }
        else if (length != 1 || *rest != '.') {
            next = apr_psprintf(p, "%s/%.*s", here[1] != '\0' ? here : "",
                                (int)length, rest);
        }
        rest += length;
    }
    return NULL;
}

/* Why a path must not be in any view, or NULL. statfs(2). */
static const char *view_refusal(const char *path, view_rank rank, int writable)
{
#if CHROOT_VIEW
    struct statfs fs;

    if (path[1] == '\0') {
        return "it is the whole file system, and would confine nobody";
    }
    if (statfs(path, &fs) == 0
        && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC)) {
        return "/proc and /sys show the machine and its processes, and lead "
               "out";
    }
    if (rank == RANK_NEEDED && writable && strchr(path + 1, '/') == NULL
        && strcmp(path, gen.jail) != 0) {
        return "it is not the sockets' own directory; give them one";
    }
    if (writable && strcmp(path, gen.jail) != 0
        && path_below(gen.jail, path) != NULL) {
        return "it contains ChrootDir, and what lies beside that could be "
               "written to";
    }
#endif
    return NULL;
}

/* Plans to mount a path. What cannot be is warned of and left out, so that
 * whatever makes it later keeps no server from starting; a path that URLs are
 * mapped to and that is not there is as without a jail. */
static void view_want(apr_pool_t *p, const ap_directive_t *node,
                      const char *path, view_rank rank, int writable)
{
    struct stat st;
    const char *real = view_way(p, path, &st);
    int rv = real == NULL ? errno : 0;
    const char *why = rv == 0       ? view_refusal(real, rank, writable)
                      : rv == EXDEV ? "User may replace a symbolic link on "
                                      "the way"
                                    : apr_psprintf(p, "%pm", &rv);
    view_step *step;

    if (why != NULL) {
        if (rank != RANK_MAPPED || rv == 0 || rv == EXDEV) {
            find(node, 1,
                 apr_psprintf(p, "leaves \"%s\" out of what children see: %s",
                              path, why));
        }
        return;
    }
    if (rank == RANK_MAPPED && path_below(real, gen.jail) != NULL) {
        return;
    }
    step = view_step_at(real, &st);
    if (step->bind && step->rank > rank) {
        return;
    }
    if (rank == RANK_MAPPED && !step->bind
        && ++view.mapped == VIEW_MAPPED_MAX + 1) {
        view.error = apr_psprintf(view.steps->pool,
                                  "%s at %s:%d maps URLs to one more path "
                                  "outside ChrootDir \"%s\" than the %d that "
                                  "can be mounted; write ChrootBind and a "
                                  "directory above them",
                                  node->directive, node->filename,
                                  node->line_num, gen.jail, VIEW_MAPPED_MAX);
    }
    step->bind = 1;
    step->rank = rank;
    step->writable = writable;
}

/* Plans what one word of a directive names, up to what depends on the request.
 */
static void view_add_word(apr_pool_t *p, const ap_directive_t *node,
                          const char *word, const char *variables,
                          view_rank rank, int writable)
{
    size_t length = strcspn(word, variables);
    int cut = word[length] != '\0';
    const char *path;

    while (cut && length > 0 && word[length - 1] != '/') {
        length--;
    }
    path = apr_pstrmemdup(p, word, length);
    if (strstr(word, "://") != NULL) {
        return;
    }
    if (*path != '/' && (cut || strcasecmp(node->directive, "UserDir") == 0)) {
        path = "/"; /* anywhere, or below somebody's home */
        cut = 1;
    }
    path = ap_server_root_relative(p, path);
    if (path == NULL) {
        return;
    }
    path = path_trimmed(p, path_canonical(p, path));
    if (cut && strchr(path + 1, '/') == NULL
        && path_below(path, gen.jail) == NULL) {
        find(node, 1,
             apr_psprintf(p,
                          "leaves \"%s\" out of what children see: it depends "
                          "on the request too early; write ChrootBind and a "
                          "directory that holds all of it",
                          word));
        return;
    }
    view_want(p, node, path, rank, writable);
}

/* Plans what a directive names, if it is in row i. */
static void view_add_row(apr_pool_t *p, const ap_directive_t *node, size_t i)
{
    const char *args = node->args, *variables = view_rows[i].variables;
    const char *word = ap_getword_conf(p, &args);
    int which = view_rows[i].word, n, writable = 0;

    if (which == WORD_LAST && *args == '\0') {
        variables = "$%"; /* an expression, in a <Location> */
    }
    if (which == WORD_ALL && view_rows[i].rank == RANK_EXPLICIT) {
        writable = strcasecmp(word, "rw") == 0;
        if (writable || strcasecmp(word, "ro") == 0) {
            word = ap_getword_conf(p, &args);
        }
    }
    else if (strcasecmp(word, "disabled") == 0
             || strcasecmp(word, "enabled") == 0) {
        return; /* UserDir, and the rest are names */
    }
    for (n = 0; *word != '\0'; n++) {
        if (which == n || which == WORD_ALL
            || (which == WORD_LAST && *args == '\0')) {
            view_add_word(p, node, word, variables, view_rows[i].rank,
                          writable);
        }
        word = ap_getword_conf(p, &args);
    }
}

/* Plans what a whole configuration names. AccessFileName's words go to names.
 */
static void view_add_mappings(apr_pool_t *p, const ap_directive_t *node,
                              apr_array_header_t *names)
{
    const char *args, *word;
    size_t i;

    for (; node != NULL; node = node->next) {
        view_add_mappings(p, node->first_child, names);
        for (i = 0; i < sizeof(view_rows) / sizeof(view_rows[0]); i++) {
            if (strcasecmp(node->directive, view_rows[i].name) == 0) {
                view_add_row(p, node, i);
            }
        }
        args = node->args;
        while (strcasecmp(node->directive, "AccessFileName") == 0
               && *(word = ap_getword_conf(p, &args)) != '\0') {
            APR_ARRAY_PUSH(names, const char *) = word;
        }
    }
}

/* Plans the files that decide about all that is below their directories, those
 * on the way. */
static void view_add_access_files(apr_pool_t *p,
                                  const apr_array_header_t *names)
{
    const char *path;
    const view_step *step;
    struct stat st;
    int i, j, count = view.steps->nelts;

    for (i = 0; i < count; i++) {
        step = APR_ARRAY_IDX(view.steps, i, const view_step *);
        for (j = 0; !step->bind && step->target == NULL && j < names->nelts;
             j++) {
            path = apr_pstrcat(p, step->path[1] != '\0' ? step->path : "", "/",
                               APR_ARRAY_IDX(names, j, const char *), NULL);
            if (lstat(path, &st) == 0) {
                view_want(p, gen.node, path, RANK_NEEDED, 0);
            }
        }
    }
}

/* Plans the directory by whose sockets children talk to a module's daemon: the
 * one that a directive names, or a socket in it. */
static void view_add_sockets(apr_pool_t *p, const char *module,
                             const char *directive, const char *otherwise,
                             int is_socket)
{
    const ap_directive_t *node = node_last(directive);
    const char *path = node != NULL ? node_word(p, node) : NULL;

    if (ap_find_linked_module(module) == NULL) {
        return;
    }
    path = path != NULL ? path : otherwise;
    path = is_socket ? ap_runtime_dir_relative(p, path)
                     : ap_server_root_relative(p, path);
    if (path == NULL) {
        return;
    }
    path = path_trimmed(p, path_canonical(p, path));
    path = is_socket ? path_parent(p, path) : path;
    view_want(p, node != NULL ? node : gen.node, path, RANK_NEEDED, 1);
}

/* Warns when what is read-only in a mount that can be written to can be
 * replaced as a whole: children are in the host's mount namespace, for which
 * the view's mount points are directories like others, rename(2). */
static void view_warn_of_writer(apr_pool_t *p, const view_step *step,
                                const view_step *above)
{
    const char *dir = step->path;
    struct stat st;

    while (strcmp(dir, above->path) != 0) {
        dir = path_parent(p, dir);
        if (lstat(dir, &st) == 0
            && (user_may_write(&st) || st.st_uid == ap_unixd_config.user_id)) {
            find(gen.node, 1,
                 apr_psprintf(p,
                              "has \"%s\" read-only, but User may write to "
                              "\"%s\", and put something else in its place",
                              step->path, dir));
            return;
        }
    }
}

/* Directories before what is in them. */
static int view_sorter(const void *a, const void *b)
{
    return strcmp((*(view_step *const *)a)->path,
                  (*(view_step *const *)b)->path);
}

/* Sorts the steps, and leaves out what a mount above has brought in already. A
 * device node is mounted for itself, without nodev. */
static void view_sort(apr_pool_t *p)
{
    view_step **steps = (view_step **)view.steps->elts, *step, *above;
    int i, j, count = 0;

    qsort(view.steps->elts, view.steps->nelts, view.steps->elt_size,
          view_sorter);
    for (i = 0; i < view.steps->nelts; i++) {
        step = steps[i];
        above = NULL;
        for (j = count - 1; j >= 0 && above == NULL; j--) {
            if (steps[j]->bind && path_below(step->path, steps[j]->path)) {
                above = steps[j];
            }
        }
        if (above == NULL
            || (step->bind
                && (is_device(&step->st) || step->writable > above->writable
                    || (step->writable < above->writable
                        && step->rank == RANK_EXPLICIT)))) {
            step->below = above != NULL;
            steps[count++] = step;
            if (above != NULL && above->writable && !step->writable) {
                view_warn_of_writer(p, step, above);
            }
        }
    }
    view.steps->nelts = count;
}

/* Parent, anybody: plans the view of this generation, once. Returns an error
 * text or NULL. */
static const char *view_plan(apr_pool_t *p, apr_pool_t *ptemp)
{
    apr_array_header_t *names = apr_array_make(ptemp, 2, sizeof(char *));
    const char *written = ap_server_root_relative(ptemp, gen.written);
    struct stat st;

    if (view.steps != NULL) {
        return view.error;
    }
    apr_pool_cleanup_register(p, NULL, view_reset, apr_pool_cleanup_null);
    view.steps = apr_array_make(p, 64, sizeof(void *));
    view.by_path = apr_hash_make(p);
    view_want(ptemp, gen.node, gen.jail, RANK_NEEDED, 1);
    if (lstat(gen.jail, &view.jail) == -1) {
        view.error = apr_pstrcat(p, "ChrootDir has gone: ", gen.jail, NULL);
    }
    if (written != NULL && stat(written, &st) == 0) { /* no keyword */
        (void)view_way(ptemp, written, &st);
    }
    APR_ARRAY_PUSH(names, const char *) = ".htaccess";
    view_add_mappings(ptemp, ap_conftree, names);
    view_add_sockets(ptemp, "mod_cgid.c", "ScriptSock", "cgisock", 1);
    view_add_sockets(ptemp, "mod_fcgid.c", "FcgidIPCDir", FCGID_SOCKETS, 0);
    view_add_access_files(ptemp, names);
    view_sort(ptemp);
    return view.error;
}

#if CHROOT_VIEW
/* A system call of the builder, which does nothing once one has failed. Says
 * to the parent what is done, and at which path. */
#define VIEW_CALL(call_, path_, ...)                                           \
    (built.error != 0 ? -1                                                     \
                      : (built.call = #call_, built.path = (path_),            \
                         view_noted(syscall(SYS_##call_, __VA_ARGS__))))

static int view_noted(long rv)
{
    built.error = rv == -1 ? errno : 0;
    return (int)rv;
}

/* Sets flags of the mount at a descriptor, or of "/". */
static void view_flags(int fd, const char *path, unsigned flags, uint64_t set,
                       uint64_t propagation)
{
    struct mount_attr attr = { .attr_set = set, .propagation = propagation };

    (void)VIEW_CALL(mount_setattr, path, fd, fd == AT_FDCWD ? path : "",
                    flags | AT_EMPTY_PATH, &attr, sizeof(attr));
}

/* Opens an absolute path below root without any symbolic link; it must still
 * be what it was in the plan, if was is given. */
static int view_path(int root, const char *path, const struct stat *was)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_IN_ROOT };
    struct stat st;
    int fd = VIEW_CALL(openat2, path, root, path, &how, sizeof(how));

    if (built.error == 0 && was != NULL
        && (fstat(fd, &st) == -1 || st.st_dev != was->st_dev
            || st.st_ino != was->st_ino)) {
        built.error = ESTALE;
    }
    return fd;
}

/* Moves a mount to the place that was opened. */
static void view_move(int tree, const char *path)
{
    (void)VIEW_CALL(move_mount, path, tree, "", built.place, "",
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    fd_close(&built.place);
}

/* Copies the tree of mounts that belongs to a step, before anything is
 * mounted. */
static void view_copy(view_step *step)
{
    if (!step->bind) {
        return;
    }
    built.from = view_path(AT_FDCWD, step->path, &step->st);
    step->tree = VIEW_CALL(open_tree, step->path, built.from, "",
                           AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE
                               | OPEN_TREE_CLOEXEC);
    fd_close(&built.from);
    view_flags(step->tree, step->path, AT_RECURSIVE,
               MOUNT_ATTR_NOSUID | (step->writable ? 0 : MOUNT_ATTR_RDONLY)
                   | (is_device(&step->st) ? 0 : MOUNT_ATTR_NODEV),
               0);
}

/* Mounts an empty file system on the jail, in this namespace only: what will
 * be the root. */
static void view_mount_root(void)
{
    built.from = VIEW_CALL(fsopen, "tmpfs", "tmpfs", FSOPEN_CLOEXEC);
    (void)VIEW_CALL(fsconfig, "tmpfs", built.from, FSCONFIG_CMD_CREATE, NULL,
                    NULL, 0);
    built.made.fd = VIEW_CALL(fsmount, "tmpfs", built.from, FSMOUNT_CLOEXEC,
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
                                  | MOUNT_ATTR_NOEXEC);
    fd_close(&built.from);
    built.place = view_path(AT_FDCWD, gen.jail, &view.jail);
    view_move(built.made.fd, gen.jail);
}

/* Makes a step in the view. */
static void view_make_step(view_step *step)
{
    const char *path = step->path, *name = path[1] != '\0' ? path + 1 : ".";
    const struct stat *st = &step->st;
    int root = built.made.fd;

    if (step->target != NULL) {
        (void)VIEW_CALL(symlinkat, path, step->target, root, name);
    }
    else if (S_ISDIR(st->st_mode) && !step->below && path[1] != '\0') {
        (void)VIEW_CALL(mkdirat, path, root, name, 0700);
    }
    else if (!step->below && path[1] != '\0') {
        (void)VIEW_CALL(mknodat, path, root, name, S_IFREG, 0);
    }
    if (step->bind) {
        built.place = view_path(root, path, step->below ? st : NULL);
        view_move(step->tree, path);
        fd_close(&step->tree);
        return;
    }
    (void)VIEW_CALL(fchownat, path, root, name, st->st_uid, st->st_gid,
                    AT_SYMLINK_NOFOLLOW);
    if (step->target == NULL) {
        (void)VIEW_CALL(fchmodat, path, root, name, st->st_mode & 07777);
    }
}

/* Makes the view all there is in the namespace. As its last act the builder,
 * which is root, tries the classic way out of it. */
static void view_enter(void)
{
    int root = built.made.fd;
    struct stat st, up;

    view_flags(root, gen.jail, 0, MOUNT_ATTR_RDONLY, 0);
    (void)VIEW_CALL(fchdir, gen.jail, root);
    (void)VIEW_CALL(pivot_root, gen.jail, ".", ".");
    (void)VIEW_CALL(umount2, gen.jail, ".", MNT_DETACH);
    if (built.error == 0
        && (fstat(root, &st) == -1 || stat("/", &up) == -1
            || st.st_dev != up.st_dev || st.st_ino != up.st_ino)) {
        built.error = ESTALE;
    }
    built.place = view_path(AT_FDCWD, gen.jail, &view.jail);
    fd_close(&built.place);
    if (built.error == 0) {
        built.made.seal_error = chroot(gen.jail) == -1 || fchdir(root) == -1
                                        || stat("..", &up) == -1
                                    ? errno
                                : st.st_dev == up.st_dev
                                        && st.st_ino == up.st_ino
                                    ? 0
                                    : EXDEV;
    }
}

/* The builder: root, a process of its own with the memory and descriptors of
 * the parent, which waits; namespace, root, working directory and signal
 * handlers are its own. Only system calls. A deadline ends it. */
static int view_main(void *unused)
{
    struct sigaction end = { .sa_handler = SIG_DFL };
    view_step **steps = (view_step **)view.steps->elts;
    struct rlimit limit;
    sigset_t alarms;
    int i;

    (void)sigaction(SIGALRM, &end, NULL);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    (void)sigprocmask(SIG_UNBLOCK, &alarms, NULL);
    (void)alarm(VIEW_DEADLINE);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max; /* a descriptor for each mount */
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    built.made.ns = VIEW_CALL(openat, "/proc/self/ns/mnt", AT_FDCWD,
                              "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    view_flags(AT_FDCWD, "/", AT_RECURSIVE, 0, MS_SLAVE);
    for (i = 0; i < view.steps->nelts; i++) {
        view_copy(steps[i]);
    }
    view_mount_root();
    for (i = 0; i < view.steps->nelts; i++) {
        view_make_step(steps[i]);
    }
    view_enter();
    built.done = 1;
    return 0;
}

/* Builds the view that is planned. Returns an errno, or 0: then built.made has
 * its descriptors, otherwise none is left open. */
static int view_build(apr_pool_t *ptemp)
{
    char *stack = apr_palloc(ptemp, VIEW_STACK + 16);
    sigset_t all, old;
    int status = 0, i;
    pid_t pid;

    memset(&built, 0, sizeof(built));
    built.made.ns = built.made.fd = built.place = built.from = -1;
    built.call = "clone";
    built.path = "the builder of the view";
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = clone(view_main, stack + VIEW_STACK + 16 - ((uintptr_t)stack & 15),
                CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_NEWNS | SIGCHLD,
                NULL);
    if (pid == -1) {
        built.error = errno;
    }
    else {
        (void)process_wait(pid, 0, &status);
        built.error = built.done ? built.error : ETIMEDOUT;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (i = 0; built.error != 0 && i < view.steps->nelts; i++) {
        fd_close(&APR_ARRAY_IDX(view.steps, i, view_step *)->tree);
    }
    fd_close(&built.place);
    fd_close(&built.from);
    if (built.error != 0) {
        fd_close(&built.made.ns);
        fd_close(&built.made.fd);
    }
    return built.error;
}
#else
static int view_build(apr_pool_t *ptemp)
{
    return built.error = ENOSYS; /* ChrootFixRoot says so before */
}
#endif /* CHROOT_VIEW */

/* What helps when the view could not be built. */
static const char *view_cure(void)
{
    switch (built.error) {
    case EINVAL:
        if (strcmp(built.path, "/") == 0) {
            return "the server is in a chroot whose root is no mount point; "
                   "make it one, with mount --bind, or write ChrootFixRoot On";
        }
        /* fall through */
    case ENOSYS:
        return "this takes Linux 5.12 or newer; or write ChrootFixRoot On";
    case EPERM:
        return "this takes CAP_SYS_ADMIN, which a container has to be given; "
               "in systemd's unit no RestrictNamespaces= and no "
               "SystemCallFilter=~@mount; or write ChrootFixRoot On";
    default:
        return "look at it and try again, or write ChrootFixRoot On";
    }
}

/* The last view that worked, in the memory that restarts leave alone. Lets it
 * go when this generation needs none: whoever is in it has its namespace open.
 */
static view_kept *view_last(server_rec *s)
{
    apr_pool_t *p = s->process->pool;
    view_kept *kept;
    void *data = NULL;

    (void)apr_pool_userdata_get(&data, VIEW_KEPT, p);
    if (data == NULL) {
        data = kept = apr_pcalloc(p, sizeof(*kept));
        kept->ns = kept->fd = -1;
        (void)apr_pool_userdata_set(data, VIEW_KEPT, NULL, p);
    }
    kept = data;
    if (!gen.mount) {
        fd_close(&kept->ns);
        fd_close(&kept->fd);
    }
    return kept;
}

/* Parent, root: has the view built that children of this generation will see,
 * gen.fd. A restart tries twice; when it cannot have one, its children see the
 * last one, if ChrootDir is there. Returns an errno that was logged, or 0. */
static int view_open(apr_pool_t *p, server_rec *s)
{
    view_kept *kept = view_last(s);
    const char *error = view_plan(p, p);
    struct stat st;
    int restart = ap_state_query(AP_SQ_CONFIG_GEN) > 1 && kept->fd != -1
                  && fstatat(kept->fd, gen.jail + 1, &st, 0) == 0
                  && st.st_dev == view.jail.st_dev
                  && st.st_ino == view.jail.st_ino;
    int level = restart ? APLOG_ALERT : APLOG_ALERT | APLOG_STARTUP;

    if (error != NULL) {
        built.error = EINVAL;
        ap_log_error(APLOG_MARK, level, 0, s, "%s", error);
    }
    else if (view_build(p) == 0 || (restart && view_build(p) == 0)) {
        fd_close(&kept->ns);
        fd_close(&kept->fd);
        *kept = built.made;
    }
    else {
        ap_log_error(APLOG_MARK, level, built.error, s,
                     "ChrootFixRoot Mount: %s %s: %s", built.call, built.path,
                     view_cure());
    }
    if (built.error != 0 && !restart) {
        return built.error;
    }
    if (built.error != 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                     "children see what those before this restart saw: changes "
                     "of ChrootBind, and of what URLs are mapped to outside "
                     "%s, are not in force",
                     gen.jail);
    }
    gen.fd = kept->fd;
    view.kept = kept;
    return 0;
}

/* Whether the jail is in the view of this process, and is the directory that
 * was checked. */
static int view_has_jail(server_rec *s)
{
    struct stat st;
    int rv = stat(gen.jail, &st) == -1 ? errno
             : st.st_dev == view.jail.st_dev && st.st_ino == view.jail.st_ino
                 ? 0
                 : ESTALE;

    if (rv != 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "the jail %s is not in the view", gen.jail);
    }
    return rv == 0;
}

/* The mode in force, and of a view whether the way out of a chroot was tried
 * in it, and led nowhere. */
static const char *fix_root_name(apr_pool_t *p)
{
    if (!gen.mount) {
        return gen.fix_root ? "On" : "Off";
    }
    if (view.kept == NULL) {
        return "Mount";
    }
    return view.kept->seal_error == 0 ? "Mount, sealed"
           : view.kept->seal_error == EXDEV
               ? "Mount, not sealed: the server was started in a chroot"
               : apr_psprintf(p, "Mount, not sealed: could not be tried, %pm",
                              &view.kept->seal_error);
}

/* A line for each thing in the view but directories that lead to another. */
static void view_report(apr_file_t *out)
{
    const view_step *step;
    int i;

    for (i = 0; view.steps != NULL && i < view.steps->nelts; i++) {
        step = APR_ARRAY_IDX(view.steps, i, const view_step *);
        if (step->target != NULL) {
            apr_file_printf(out, "View: link %s -> %s\n", step->path,
                            step->target);
        }
        else if (step->bind) {
            apr_file_printf(out, "View: %s %s%s\n",
                            step->writable ? "rw" : "ro", step->path,
                            S_ISREG(step->st.st_mode)
                                ? " (this file; one that replaces it is seen "
                                  "after a restart)"
                                : "");
        }
    }
}

/* ------------------------------------------------------------------------
 * Entering the jail
 */

/* Whether st describes the jail that was opened at start. */
static int is_jail(const struct stat *st)
{
    return st->st_dev == gen.dev && st->st_ino == gen.ino;
}

/* Whether the directory name in the directory fd is the jail or below it: 1 or
 * 0, or -1 with errno when it cannot be found out, ENOENT and ESRCH only when
 * there is no such directory. Climbs by ".." until it meets the jail, or a
 * root. */
static int dir_is_inside(int fd, const char *name)
{
    struct stat st, below = { 0 };
    int answer = -1, up, rv;
    int here = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

    while (here != -1 && fstat(here, &st) == 0) {
        if (is_jail(&st)) {
            answer = 1;
            break;
        }
        if (st.st_dev == below.st_dev && st.st_ino == below.st_ino) {
            answer = 0;
            break;
        }
        below = st;
        up = openat(here, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        rv = errno;
        close(here);
        here = up;
        errno = rv;
    }
    rv = errno;
    if (here != -1) {
        close(here);
    }
    errno = below.st_ino != 0 && (rv == ENOENT || rv == ESRCH) ? EIO : rv;
    return answer;
}

/* This process must not serve: it waits and goes, without running anybody's
 * exit handlers. CHILDSICK makes the parent try again; CHILDFATAL would end
 * the server, and orphan prefork's other children. */
static void child_fails(void)
{
    if (!gen.probing) {
        apr_sleep(SICK_PAUSE);
    }
    _exit(APEXIT_CHILDSICK);
}

#if CHROOT_LATE
/* The jailer's ends of the two pipes, the child it is for, and its stack */
static int jailer_ask, jailer_answer;
static pid_t jailer_child;
static char jailer_stack[JAILER_STACK] __attribute__((aligned(16)));

/* A process of its own, root, all signals blocked for ever, that shares root
 * and working directory with the child (CLONE_FS) and memory with nobody: only
 * async-signal-safe calls. Goes when it has answered, or when the child has.
 */
static int jailer_main(void *unused)
{
    chroot_answer answer = { NULL, 0 };
    struct pollfd asked = { jailer_ask, POLLIN, 0 };
    char byte;

    close(gen.ask);
    close(gen.answer);
    /* PR_SET_PDEATHSIG needs a parent that is root when it dies, and the end
     * of file one that has forked nobody */
    while (poll(&asked, 1, JAILER_POLL) != 1) {
        if (getppid() != jailer_child) {
            return 0;
        }
    }
    if (read(jailer_ask, &byte, 1) != 1) {
        return 0;
    }
    if (chroot(gen.door) == -1) {
        answer.call = "chroot";
        answer.error = errno;
    }
    else if (chdir("/") == -1) {
        answer.call = "chdir";
        answer.error = errno;
    }
    return write(jailer_answer, &answer, sizeof(answer)) != sizeof(answer);
}

/* Clones the jailer with all signals blocked: httpd's handlers must not run
 * in it. Returns an errno, or 0. */
static int jailer_clone(void)
{
    sigset_t all, old;
    int rv;

    sigfillset(&all);
    rv = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (rv != 0) {
        return rv;
    }
    gen.jailer = clone(jailer_main, jailer_stack + sizeof(jailer_stack),
                       CLONE_FS, NULL);
    rv = gen.jailer == -1 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rv;
}

/* Starts the jailer of this child, which is still root. Returns when it
 * waits to be asked. */
static void jailer_start(server_rec *s)
{
    int ask[2], answer[2], rv;

    if (pipe2(ask, O_CLOEXEC) == -1 || pipe2(answer, O_CLOEXEC) == -1) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "pipe to the jailer for %s", gen.jail);
        child_fails();
    }
    jailer_ask = ask[0];
    gen.ask = ask[1];
    gen.answer = answer[0];
    jailer_answer = answer[1];
    jailer_child = getpid();
    rv = jailer_clone();
    if (gen.probing && (rv == EPERM || rv == ENOSYS || rv == EINVAL)) {
        _exit(PROBE_NO_JAILER);
    }
    if (rv != 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "clone of the jailer for %s", gen.jail);
        child_fails();
    }
    close(jailer_ask);
    close(jailer_answer);
}

/* Has the jailer close the jail around this child, all its threads included,
 * and waits until it is gone. Whether it says that it has done so. */
static int jailer_act(server_rec *s)
{
    chroot_answer answer = { NULL, 0 };
    int rv = 0, status = 0, waited;
    ssize_t n = -1;

    if (write(gen.ask, "", 1) == 1) {
        do {
            n = read(gen.answer, &answer, sizeof(answer));
        } while (n == -1 && errno == EINTR);
    }
    if (n == -1) {
        rv = errno;
    }
    close(gen.ask);
    close(gen.answer);
    waited = process_wait(gen.jailer, __WCLONE, &status);
    if (waited != 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, waited, s,
                     "wait for the jailer for %s", gen.jail);
        return 0;
    }
    if (n != sizeof(answer)) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "no answer from the jailer for %s (wait status 0x%x)",
                     gen.jail, (unsigned)status);
        return 0;
    }
    if (answer.call != NULL) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, answer.error, s,
                     "%s into the jail %s", answer.call, gen.jail);
        return 0;
    }
    return 1;
}
#else
static void jailer_start(server_rec *s)
{
    _exit(PROBE_NO_JAILER);
}

static int jailer_act(server_rec *s)
{
    return 0;
}
#endif /* CHROOT_LATE */

/* ------------------------------------------------------------------------
 * Verifying: the child trusts nobody, each of these says what is wrong
 */

/* Whether root and working directory of this process are the jail, and User
 * can look anything up in it. */
static int verify_root(server_rec *s)
{
    struct stat st;
    int rv;

    if (stat("/", &st) == -1 || chdir("/") == -1
        || faccessat(AT_FDCWD, "/", X_OK, AT_EACCESS) == -1) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "User cannot enter the jail %s", gen.jail);
        return 0;
    }
    if (!is_jail(&st)) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                     "not in the jail %s after chroot", gen.jail);
        return 0;
    }
    return !gen.mount || view_has_jail(s);
}

/* Whether this process is in Group and can never be root again: neither its
 * real, effective nor saved user id is 0. */
static int verify_user(server_rec *s)
{
    if (getuid() == 0 || geteuid() == 0 || setuid(0) == 0 || seteuid(0) == 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                     "root, or able to become it, in the jail %s", gen.jail);
        return 0;
    }
    if (getgid() != ap_unixd_config.group_id
        || getegid() != ap_unixd_config.group_id) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                     "not in Group %ld in the jail %s",
                     (long)ap_unixd_config.group_id, gen.jail);
        return 0;
    }
    return 1;
}

/* Logs that a thread or a descriptor, named by what and which, could not be
 * looked at, with errno; unless it has just ended: then there is no harm. */
static int verify_failed(server_rec *s, const char *what, const char *which)
{
    int rv = errno;

    if (rv == ENOENT || rv == ESRCH) {
        return 1;
    }
    ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s, "look at %s %s in the jail %s",
                 what, which, gen.jail);
    return 0;
}

/* Logs that a thread or a descriptor breaks out of the jail. */
static int verify_broken(server_rec *s, const char *what, const char *which,
                         const char *how)
{
    ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s, "%s %s %s the jail %s", what,
                 which, how, gen.jail);
    return 0;
}

/* Whether no capability is permitted or effective in a thread, 0 for this one.
 * capabilities(7). */
static int verify_capabilities(server_rec *s, const char *tid)
{
#ifdef __linux__
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

    header.pid = (int)strtol(tid, NULL, 10);
    if (syscall(SYS_capget, &header, data) == -1) {
        return verify_failed(s, "thread", tid);
    }
    if (data[0].permitted || data[1].permitted || data[0].effective
        || data[1].effective) {
        return verify_broken(s, "thread", tid, "has capabilities in");
    }
#endif
    return 1;
}

/* Whether a descriptor, an entry of the directory dir, is no directory outside:
 * fchdir(2) and openat(2) would leave through it. The two that this is found
 * out with are closed when it was. */
static int verify_descriptor(server_rec *s, int dir, const char *fd)
{
    long number = strtol(fd, NULL, 10);
    struct stat st, own;
    int inside;

    if (fstatat(dir, fd, &st, 0) == -1) {
        return verify_failed(s, "descriptor", fd);
    }
    if (!S_ISDIR(st.st_mode)
        || ((number == dir || number == gen.tasks)
            && fstat((int)number, &own) == 0 && own.st_dev == st.st_dev
            && own.st_ino == st.st_ino)) {
        return 1;
    }
    inside = dir_is_inside(dir, fd);
    if (inside == -1) {
        return verify_failed(s, "descriptor", fd);
    }
    return inside
           || verify_broken(s, "descriptor", fd, "is a directory outside of");
}

/* Calls look for each entry of the directory fd, and closes it. Whether all
 * answers were yes. */
static int verify_each(server_rec *s, int fd, const char *what,
                       int (*look)(server_rec *s, int dir, const char *name))
{
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    int ok = 1;

    if (dir == NULL) {
        close(fd);
        return verify_failed(s, what, "list");
    }
    while (ok) {
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) {
            ok = errno == 0 || verify_failed(s, what, "list");
            break;
        }
        ok = entry->d_name[0] == '.' || look(s, fd, entry->d_name);
    }
    (void)closedir(dir);
    return ok;
}

/* Warns of processes that a module forked in child_init: they have stayed
 * outside. The jailer is gone by now. proc(5): /proc/PID/task/TID/children. */
static void warn_of_children(server_rec *s, int tasks, const char *tid)
{
    char text[256];
    ssize_t n;
    int fd;

    apr_snprintf(text, sizeof(text), "%s/children", tid);
    fd = openat(tasks, text, O_RDONLY | O_CLOEXEC);
    n = fd != -1 ? read(fd, text, sizeof(text)) : 0;
    if (n > 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "forked by a module in child_init, outside the jail %s: "
                     "process %.*s",
                     gen.jail, (int)n - 1, text);
    }
    fd_close(&fd);
}

/* Whether a thread, an entry of the directory tasks, is as locked in as the
 * process: one that had called unshare(2) is not. */
static int verify_thread(server_rec *s, int tasks, const char *tid)
{
    char name[32];
    struct stat st;
    int inside, fd;

    apr_snprintf(name, sizeof(name), "%s/root", tid);
    if (fstatat(tasks, name, &st, 0) == -1) {
        return verify_failed(s, "thread", tid);
    }
    apr_snprintf(name, sizeof(name), "%s/cwd", tid);
    inside = dir_is_inside(tasks, name);
    if (inside == -1) {
        return verify_failed(s, "thread", tid);
    }
    if (!is_jail(&st) || !inside) {
        return verify_broken(s, "thread", tid, "is outside of");
    }
    warn_of_children(s, tasks, tid);
    apr_snprintf(name, sizeof(name), "%s/fd", tid);
    fd = openat(tasks, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1) {
        return verify_failed(s, "thread", tid);
    }
    return verify_capabilities(s, tid)
           && verify_each(s, fd, "descriptor", verify_descriptor);
}

/* How many descriptors this process can have: as many as its table has room
 * for, proc(5), or is allowed to have. */
static long descriptors_max(void)
{
    char text[4096];
    const char *size = NULL;
    ssize_t n;
    long max;

    n = gen.status != -1 ? pread(gen.status, text, sizeof(text) - 1, 0) : -1;
    fd_close(&gen.status);
    if (n > 0) {
        text[n] = '\0';
        size = strstr(text, "\nFDSize:");
    }
    max = size != NULL ? strtol(size + strlen("\nFDSize:"), NULL, 10)
                       : sysconf(_SC_OPEN_MAX);
    return max > 0 && max < DESCRIPTORS_MAX ? max : DESCRIPTORS_MAX;
}

/* Whether this process, which has just been jailed and has dropped root, is
 * really locked in. Late, that is asked of every thread, by /proc; early,
 * threads were made inside, and descriptors are tried one by one. */
static int verify(server_rec *s)
{
    struct stat st;
    char number[16];
    long fd, max;
    int tasks = gen.tasks, ok, inside;

    if (!verify_root(s) || !verify_user(s)) {
        return 0;
    }
    if (tasks != -1) {
        ok = verify_each(s, tasks, "thread", verify_thread);
        gen.tasks = -1;
        return ok;
    }
    ok = verify_capabilities(s, "0");
    max = descriptors_max();
    for (fd = 0; ok && fd < max; fd++) {
        if (fcntl((int)fd, F_GETFD) == -1 && errno == EBADF) {
            continue;
        }
        apr_snprintf(number, sizeof(number), "%ld", fd);
        inside = fstat((int)fd, &st) == -1 ? -1
                 : S_ISDIR(st.st_mode)     ? dir_is_inside((int)fd, ".")
                                           : 1;
        if (inside == -1) {
            (void)verify_failed(s, "descriptor", number);
            ok = 0;
        }
        else if (!inside) {
            ok = verify_broken(s, "descriptor", number,
                               "is a directory outside of");
        }
    }
    return ok;
}

/* ------------------------------------------------------------------------
 * Looking at the jail: what should not be there is warned of
 */

/* One component of the jail's path: whoever may write to it can put another
 * directory in the jail's place. */
static void inspect_component(apr_pool_t *p, const char *path)
{
    struct stat st;

    if (stat(path, &st) == -1) {
        return;
    }
    if (strcmp(path, gen.jail) == 0 && user_may_write(&st)) {
        find_file(p, path, &st,
                  "is the jail, and User or Group may write to it");
    }
    else if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH))) {
        find_file(p, path, &st,
                  "should be writable by root alone: others could replace the "
                  "jail");
    }
}

/* Every component of the jail's path, and of the one that ChrootDir names when
 * that gets there through symbolic links. */
static void inspect_path(apr_pool_t *p)
{
    const chroot_root *written = (const chroot_root *)gen.roots->elts + 1;
    const char *end, *path;

    if (gen.jail[1] != '\0') {
        inspect_component(p, "/");
    }
    for (end = gen.jail; *end != '\0';) {
        end = end + 1 + strcspn(end + 1, "/");
        inspect_component(p, apr_pstrmemdup(p, gen.jail, end - gen.jail));
    }
    for (end = gen.links ? written->outer : ""; *end != '\0';) {
        end = end + 1 + strcspn(end + 1, "/");
        path = apr_pstrmemdup(p, written->outer, end - written->outer);
        if (*end != '\0' && path_below(gen.jail, path) == NULL) {
            inspect_component(p, path);
        }
    }
}

/* Whether a device is null, zero, full, random or urandom: programs need
 * them, and they lead nowhere. Linux, admin-guide/devices.txt. */
static int device_is_harmless(dev_t device)
{
#ifdef __linux__
    return major(device) == 1
           && (minor(device) == 3 || minor(device) == 5 || minor(device) == 7
               || minor(device) == 8 || minor(device) == 9);
#else
    return 0;
#endif
}

/* The top levels of the jail: device nodes, set-user-id files and a mounted
 * /proc are ways out of it. A directory is looked at before those in it; left
 * counts the entries still to look at. */
static void inspect_inside(apr_pool_t *p, const char *path, int depth,
                           int *left)
{
    apr_array_header_t *below = apr_array_make(p, 16, sizeof(const char *));
    DIR *dir = opendir(path);
    const struct dirent *entry = NULL;
    struct stat st, self;
    const char *name;
    int i;

    for (i = 0; dir != NULL && (entry = readdir(dir)) != NULL; i++) {
        if (i == INSPECT_DIRECTORY || (*left)-- <= 0) {
            find(NULL, 0,
                 apr_psprintf(p,
                              "%s has many entries, not all of them were "
                              "looked at",
                              path));
            break;
        }
        name = apr_pstrcat(p, path, "/", entry->d_name, NULL);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0
            || lstat(name, &st) == -1) {
            continue;
        }
        if (S_ISBLK(st.st_mode)
            || (S_ISCHR(st.st_mode) && !device_is_harmless(st.st_rdev))) {
            find_file(p, name, &st, "is a device node in the jail");
        }
        else if (S_ISREG(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID))) {
            find_file(p, name, &st,
                      "is set-user-id or set-group-id in the jail");
        }
        else if (S_ISDIR(st.st_mode) && st.st_dev != gen.dev
                 && lstat(apr_pstrcat(p, name, "/self/root", NULL), &self)
                        == 0) {
            find_file(p, name, &st,
                      "is a mounted proc file system in the jail: it shows "
                      "other processes, and leads to their directories");
        }
        else if (S_ISDIR(st.st_mode) && depth > 1) {
            APR_ARRAY_PUSH(below, const char *) = name;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    for (i = 0; i<below->nelts && * left> 0; i++) {
        inspect_inside(p, APR_ARRAY_IDX(below, i, const char *), depth - 1,
                       left);
    }
}

/* ------------------------------------------------------------------------
 * The life of a generation
 */

/* Opens the jail, once: what children enter is what was checked. Returns an
 * errno that was logged, or 0. */
static int jail_open(apr_pool_t *p, server_rec *s)
{
    struct stat st;
    int rv = gen.mount ? view_open(p, s) : 0;

    if (rv != 0) {
        return rv;
    }
    if (!gen.mount) {
        gen.fd = open(gen.jail, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (gen.fd == -1 || fstat(gen.fd, &st) == -1) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_ALERT | APLOG_STARTUP, rv, s,
                     "open the jail %s", gen.jail);
        return rv;
    }
    gen.dev = st.st_dev;
    gen.ino = st.st_ino;
    /* chroot(2) by descriptor: a jail that is moved or replaced later cannot
     * mislead it, nor can another thread's chdir(2) */
    gen.door = apr_psprintf(p, "/proc/self/fd/%d", gen.fd);
    if (stat(gen.door, &st) == -1 || !is_jail(&st)) {
        gen.door = gen.jail;
    }
    ap_unixd_config.chroot_dir = gen.door;
    return 0;
}

/* Whether TZ is a rule and not the name of a file: POSIX.1, XBD 8.3, a name
 * of three letters or more, or in <>, and an offset. */
static int zone_is_rule(const char *zone)
{
    const char *c = zone;

    if (*c == '<') {
        c = strchr(c, '>');
        c = c != NULL ? c + 1 : zone;
    }
    else {
        while (apr_isalpha(*c)) {
            c++;
        }
        if (c - zone < 3) {
            return 0;
        }
    }
    if (*c == '+' || *c == '-') {
        c++;
    }
    return apr_isdigit(*c);
}

/* The last line of a TZif file, tzfile(5), or NULL. */
static const char *zone_rule(apr_pool_t *p, const char *path)
{
    char text[ZONE_RULE_MAX] = "", magic[4];
    const char *rule = NULL;
    char *start;
    size_t n;
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return NULL;
    }
    if (fread(magic, 1, 4, file) == 4 && memcmp(magic, "TZif", 4) == 0
        && (fseek(file, -(long)(sizeof(text) - 1), SEEK_END) == 0
            || fseek(file, sizeof(magic), SEEK_SET) == 0)) {
        n = fread(text, 1, sizeof(text) - 1, file);
        if (n > 0 && text[n - 1] == '\n') {
            text[n - 1] = '\0';
            start = memrchr(text, '\n', n - 1);
            if (start != NULL && start[1] != '\0') {
                rule = apr_pstrdup(p, start + 1);
            }
        }
    }
    (void)fclose(file);
    return rule;
}

/* The same, "UTC" for that zone: it needs no file, but glibc takes it when it
 * is within reach, and converts times with fewer instructions than by a rule.
 */
static const char *zone_name(apr_pool_t *p, const char *path)
{
    const char *rule = zone_rule(p, path);

    return rule != NULL && strcmp(rule, "UTC0") == 0 ? "UTC" : rule;
}

/* TZ for children, for whom /etc/localtime and the zone files are out of
 * reach; NULL when what they inherit will do. */
static const char *zone_for_children(apr_pool_t *p)
{
    const char *zone = getenv("TZ");
    const char *dir = getenv("TZDIR");

    if (zone == NULL) {
        return zone_name(p, "/etc/localtime");
    }
    if (*zone == '\0' || zone_is_rule(zone)) {
        return NULL;
    }
    if (*zone == ':') {
        zone++;
    }
    if (*zone != '/') {
        zone = apr_pstrcat(p, dir != NULL ? dir : TZDIR, "/", zone, NULL);
    }
    return zone_name(p, zone);
}

/* Loads a library for good; its name is added to those that are loaded. */
static void preload_library(apr_array_header_t *loaded, const char *name)
{
    int i;

    for (i = 0; i < loaded->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(loaded, i, const char *), name) == 0) {
            return;
        }
    }
    if (dlopen(name, RTLD_NOW | RTLD_NODELETE) != NULL) {
        APR_ARRAY_PUSH(loaded, const char *) = apr_pstrdup(loaded->pool, name);
    }
}

/* The name service modules of the lines for hosts, which glibc would load at
 * the first look-up, and for groups, which each child would load to become
 * User. nsswitch.conf(5). */
static void preload_name_services(apr_array_header_t *loaded)
{
    char line[1024], library[128];
    char *word, *next;
    FILE *file = fopen("/etc/nsswitch.conf", "re");

    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "hosts:", 6) != 0
            && strncmp(line, "group:", 6) != 0) {
            continue;
        }
        for (word = apr_strtok(line + 6, " \t\n", &next); word != NULL;
             word = apr_strtok(NULL, " \t\n", &next)) {
            apr_snprintf(library, sizeof(library), "libnss_%s.so.2", word);
            preload_library(loaded, library);
        }
    }
    (void)fclose(file);
}

/* Loads what glibc and APR would load at first use, when it is out of reach:
 * libgcc_s for pthread_exit(3), name services, the drivers of apr_dbm. What is
 * not installed outside is missed by nobody. Returns the names. */
static apr_array_header_t *preload(apr_pool_t *p)
{
    static const char *const dbm[] = { "db", "gdbm", "ndbm" };
    apr_array_header_t *loaded = apr_array_make(p, 8, sizeof(const char *));
    const char *used1, *used2;
    size_t i;

#ifdef __GLIBC__
    preload_library(loaded, "libgcc_s.so.1");
    preload_name_services(loaded);
#endif
    for (i = 0; i < sizeof(dbm) / sizeof(dbm[0]); i++) {
        if (apr_dbm_get_usednames_ex(p, dbm[i], "/", &used1, &used2)
            == APR_SUCCESS) {
            APR_ARRAY_PUSH(loaded, const char *) = apr_pstrcat(p, "apr_dbm_",
                                                               dbm[i], NULL);
        }
    }
    return loaded;
}

/* Whether the server may confine anybody at all; says why not. A server with
 * ambient CAP_SYS_CHROOT and without root would leave it to its children. */
static int may_confine(server_rec *s)
{
    static const char *const rooted[] = { "mpm_itk.c", "mod_ruid2.c" };
    size_t i;

    for (i = 0; i < sizeof(rooted) / sizeof(rooted[0]); i++) {
        if (ap_find_linked_module(rooted[i]) != NULL) {
            ap_log_error(APLOG_MARK, APLOG_ALERT | APLOG_STARTUP, 0, s,
                         "ChrootDir \"%s\": %s keeps privileges in children, "
                         "and no jail holds those; unload one of the two",
                         gen.jail, rooted[i]);
            return 0;
        }
    }
    if (geteuid() != 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT | APLOG_STARTUP, 0, s,
                     "ChrootDir \"%s\" needs a server that is started as "
                     "root; start it as root, or take ChrootDir out",
                     gen.jail);
        return 0;
    }
    return 1;
}

/* Whether User may look something up in the jail, whose descriptor this is;
 * and with FixRoot, as without a jail, on the way there. */
static int may_search(int jail)
{
    const chroot_root *root = (const chroot_root *)gen.roots->elts;
    int i;

    if (gen.mount) { /* in the view, by the path that it has outside */
        return faccessat(gen.fd, gen.jail + 1, X_OK, AT_EACCESS) == 0;
    }
    for (i = 0; gen.fix_root && i < gen.roots->nelts; i++) {
        if (root[i].mapped
            && faccessat(AT_FDCWD, root[i].outer, X_OK, AT_EACCESS) == -1) {
            return 0;
        }
    }
    return faccessat(jail, ".", X_OK, AT_EACCESS) == 0;
}

/* The same, found out by a child that becomes User as mod_unixd would make it.
 * Returns an errno, or 0. */
static int search_as_user(void)
{
    const char *user = ap_unixd_config.user_name;
    int status = 0, rv;
    int fd = open(gen.jail, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pid_t pid = fd != -1 ? fork() : -1;

    if (pid == 0) {
        if (setgid(ap_unixd_config.group_id) == -1
            || (user[0] != '#'
                && initgroups(user, ap_unixd_config.group_id) == -1)
            || setuid(ap_unixd_config.user_id) == -1 || !may_search(fd)) {
            _exit(errno);
        }
        _exit(0);
    }
    if (fd == -1 || pid == -1) {
        status = errno;
        fd_close(&fd);
        return status;
    }
    fd_close(&fd);
    rv = process_wait(pid, 0, &status);
    if (rv != 0) {
        return rv;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

/* Parent, root, one thread; before any other module forks a daemon. Standard
 * error is still the terminal at the first of the two passes of a start. */
static int chroot_open_logs(apr_pool_t *pconf, apr_pool_t *plog,
                            apr_pool_t *ptemp, server_rec *s)
{
    (void)view_last(s);
    if (gen.jail == NULL) {
        return OK;
    }
    if (!may_confine(s) || jail_open(pconf, s) != 0) {
        return OK; /* post_config refuses, in the error log */
    }
    gen.zone = zone_for_children(pconf);
    (void)preload(ptemp);
    return OK;
}

/* The end of the way into the jail, for an MPM child or a probe that has
 * dropped root: late, it opens /proc now, which nobody else can inherit, and
 * has the jailer act. Whether it is locked in. */
static int enter(server_rec *s)
{
    int rv;

    /* a child that is told to stop while it starts was left to mod_unixd */
    if (gen.is_child && gen.late) {
        gen.tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (gen.tasks == -1) {
            rv = errno;
            ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                         "open /proc/self/task before entering the jail %s",
                         gen.jail);
            return 0;
        }
        if (!jailer_act(s)) {
            return 0;
        }
    }
    return verify(s);
}

/* What becomes of a path for this process, when it sees the jail as root, which
 * is "" from inside. */
static chroot_fate path_fate(apr_pool_t *p, const chroot_path *path,
                             const char *root)
{
    const char *name;
    struct stat st;
    int mode = path->mode;

    if (path->fate != FATE_UNKNOWN || path->inner == NULL) {
        return path->fate != FATE_UNKNOWN ? path->fate : FATE_OUTSIDE;
    }
    name = apr_pstrcat(p, root, path->inner, NULL);
    if (stat(name, &st) == -1) {
        if (errno == EACCES) {
            return FATE_UNREADABLE;
        }
        return gen.fix_root && path->outer != NULL
                       && path_inside(p, path->outer) == NULL
                   ? FATE_OUTSIDE
                   : FATE_MISSING;
    }
    if (mode == 0) {
        mode = S_ISDIR(st.st_mode) ? X_OK : S_ISSOCK(st.st_mode) ? W_OK : R_OK;
    }
    return access(name, mode) == 0 ? FATE_INSIDE : FATE_UNREADABLE;
}

/* Looks at all paths and hands what has become of them to the parent. */
static void look(apr_pool_t *p, chroot_fate *fates)
{
    int i;

    for (i = 0; fates != NULL && i < gen.paths->nelts; i++) {
        fates[i] = path_fate(p, &APR_ARRAY_IDX(gen.paths, i, chroot_path), "");
    }
}

/* A forked child does what an MPM child will do, the hooks of all modules
 * included, and serves nobody. What it sees of the configuration's paths goes
 * to fates, which is shared with the parent. */
static chroot_probe probe(apr_pool_t *p, server_rec *s, chroot_fate *fates)
{
    int status = 0, rv;
    pid_t pid = fork();

    if (pid == 0) {
        gen.probing = gen.configured = 1;
        if (ap_run_drop_privileges(p, s) != OK) {
            _exit(PROBE_FAILED);
        }
        if (gen.late && !may_search(gen.fd) && errno == EACCES) {
            _exit(PROBE_NO_SEARCH);
        }
        if (!enter(s)) {
            _exit(PROBE_FAILED);
        }
        look(p, fates);
        _exit(PROBE_OK);
    }
    rv = pid == -1 ? errno : process_wait(pid, 0, &status);
    if (rv != 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "fork of, or wait for, a probe of the jail %s", gen.jail);
        return PROBE_FAILED;
    }
    if (!WIFEXITED(status)) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                     "a probe of the jail %s ended with signal %d", gen.jail,
                     WTERMSIG(status));
        return PROBE_FAILED;
    }
    return WEXITSTATUS(status);
}

/* Memory for the fates of all paths that is shared with a probe, or NULL. */
static chroot_fate *fates_map(server_rec *s)
{
    chroot_fate *fates;
    int rv;

    if (gen.paths == NULL || gen.paths->nelts == 0) {
        return NULL;
    }
    fates = mmap(NULL, gen.paths->nelts * sizeof(*fates),
                 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fates == MAP_FAILED) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "the paths of the configuration are not looked at");
        return NULL;
    }
    return fates;
}

/* Takes over what a probe has seen, if it came that far. */
static void fates_unmap(chroot_fate *fates, chroot_probe answer)
{
    int i;

    if (fates == NULL) {
        return;
    }
    for (i = 0; answer == PROBE_OK && i < gen.paths->nelts; i++) {
        APR_ARRAY_IDX(gen.paths, i, chroot_path).fate = fates[i];
    }
    (void)munmap(fates, gen.paths->nelts * sizeof(*fates));
}

/* Decides once per generation how its children enter the jail, late where
 * that is possible. Says why when they cannot. */
static chroot_probe probe_entry(apr_pool_t *p, server_rec *s)
{
    chroot_fate *fates = fates_map(s);
    chroot_probe answer;

    /* threads are verified, and the door found, through /proc */
    gen.late = CHROOT_LATE && gen.door != gen.jail;
    answer = gen.late ? probe(p, s, fates) : PROBE_NO_JAILER;
    if (answer == PROBE_NO_JAILER) {
        gen.late = 0;
        answer = search_as_user() == EACCES ? PROBE_NO_SEARCH
                                            : probe(p, s, fates);
    }
    fates_unmap(fates, answer);
    if (answer == PROBE_NO_SEARCH) {
        ap_log_error(APLOG_MARK, APLOG_ALERT | APLOG_STARTUP, EACCES, s,
                     "ChrootDir \"%s\" on line %d of %s: User %s cannot "
                     "search it%s",
                     gen.jail, gen.node->line_num, gen.node->filename,
                     ap_unixd_config.user_name,
                     gen.fix_root || gen.mount
                         ? ", or a directory above it, so that without "
                           "a jail nothing would be served"
                         : "");
    }
    else if (answer != PROBE_OK) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                     "children cannot be locked into the jail %s, see above; "
                     "the server needs root with CAP_SYS_CHROOT, CAP_SETUID "
                     "and CAP_SETGID (systemd: CapabilityBoundingSet=, "
                     "SystemCallFilter= without ~@mount), and a User who is "
                     "not root and may search the jail",
                     gen.jail);
    }
    return answer;
}

/* What there is to say about the paths that the configuration names, when it
 * is known what becomes of them. */
static void find_in_paths(apr_pool_t *p)
{
    apr_hash_t *said = apr_hash_make(p);
    const chroot_path *path = (chroot_path *)gen.paths->elts;
    const char *text, *inner, *key;
    struct stat st = { 0 };
    int copies = 0, i;

    for (i = 0; i < gen.paths->nelts; i++, path++) {
        if (path->fate == FATE_INSIDE || path->fate == FATE_UNKNOWN) {
            continue;
        }
        inner = path->outer != NULL ? path_inside(p, path->outer) : NULL;
        if (path->cure != NULL) {
            copies |= path->bites;
            text = apr_psprintf(p, "needs %s in the jail, for User: %s",
                                path->inner, path->cure);
        }
        else if (!path->bites || path->outer == NULL
                 || (path->fate != FATE_UNREADABLE
                     && stat(path->outer, &st) == -1
                     && (path->mode == 0 || inner != NULL))) {
            continue; /* as without a jail */
        }
        else if (path->fate == FATE_UNREADABLE) {
            text = apr_psprintf(p, "names \"%s\", which User %s may not use",
                                path->written, ap_unixd_config.user_name);
        }
        else if (!gen.fix_root && inner != NULL) {
            text = apr_psprintf(p,
                                "names \"%s\", which children look for in the "
                                "jail; write \"%s\", or set ChrootFixRoot On",
                                path->written, inner);
        }
        else if (inner != NULL) {
            text = apr_psprintf(p,
                                "names \"%s\", which children do not find: a "
                                "symbolic link leads out of the jail %s",
                                path->written, gen.jail);
        }
        else if (path->inner == NULL || gen.open != NULL
                 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
            text = apr_psprintf(p,
                                "names \"%s\", which is not in the jail; bring "
                                "it below %s%s and name it there",
                                path->written, gen.jail,
                                path->inner != NULL && gen.open != NULL
                                    ? ", where it has no URL,"
                                    : "");
        }
        else {
            inner = path_parent(p, path->inner);
            text = apr_psprintf(p,
                                "names \"%s\", which is not in the jail: "
                                "mkdir -p %s%s && cp -a %s %s%s",
                                path->written, gen.jail, inner, path->outer,
                                gen.jail, inner);
        }
        key = apr_pstrcat(p, path->name, " ", path->written, NULL);
        if (apr_hash_get(said, key, APR_HASH_KEY_STRING) == NULL) {
            apr_hash_set(said, key, APR_HASH_KEY_STRING, key);
            find(path->node, path->bites, text);
        }
    }
    if (copies && gen.open != NULL) {
        find(gen.open, 1,
             "maps URLs to the whole jail, so that what is copied into it has "
             "a URL, too; a jail above that directory is better");
    }
}

/* Looks at what the compiler could not know yet. */
static void find_all(apr_pool_t *p)
{
    int left = INSPECT_ENTRIES;

    find_in_paths(p);
    if (ap_find_linked_module("mod_fcgid.c") != NULL
        && ap_unixd_config.suexec_enabled) {
        find(NULL, 1,
             "mod_fcgid's manager, and the programs that it starts for "
             "children, are outside of the jail because of suexec; write "
             "\"Suexec Off\"");
    }
    if (ap_find_linked_module("mod_passenger.c") != NULL) {
        find(NULL, 1, "mod_passenger's daemons are not jailed");
    }
    inspect_path(p);
    if (gen.jail[1] != '\0' && gen.fd != -1) {
        inspect_inside(p, gen.jail, INSPECT_DEPTH, &left);
    }
}

/* What the compiler knew of a section, or NULL when it never saw it. */
static const chroot_section *section_known(ap_conf_vector_t *section)
{
    return ap_get_module_config(section, &chroot_module);
}

/* Whether all sections of a server are known: code (<Perl>, add_config()) can
 * add some behind the compiler's back, and they would not mean what they say.
 */
static int sections_known(server_rec *s, const apr_array_header_t *sections)
{
    ap_conf_vector_t *section;
    core_dir_config *dir;
    int i;

    for (i = 0; i < sections->nelts; i++) {
        section = APR_ARRAY_IDX(sections, i, ap_conf_vector_t *);
        if (section_known(section) == NULL) {
            dir = ap_get_core_module_config(section);
            ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                         "<Directory \"%s\"> was added by code, and "
                         "ChrootFixRoot cannot translate it; write it in a "
                         "configuration file",
                         dir->d);
            return 0;
        }
    }
    return 1;
}

/* By what httpd sorts sections outside: the components of a path, the slashes
 * of a regular expression (core.c, reorder_sorter). */
static int section_depth(const chroot_section *section)
{
    return (int)ap_count_dirs(section->path)
           + (!section->is_regex && section->path[1] != '\0');
}

/* Whether, outside, section a comes after section b. */
static int section_follows(ap_conf_vector_t *a, ap_conf_vector_t *b)
{
    const chroot_section *one = section_known(a), *other = section_known(b);
    int further;

    if (one->is_regex != other->is_regex) {
        return one->is_regex;
    }
    further = section_depth(one) - section_depth(other);
    return further != 0 ? further > 0 : one->order > other->order;
}

/* Puts the sections of a server that httpd has sorted by their depth inside
 * into the order that they had outside: those that are about "/" now, which
 * come first, and regular expressions, which come last and are sorted by their
 * slashes (core.c, reorder_sorter). Sections about nothing inside go behind
 * the end of the list, where only requests that lead outside look for them.
 * Returns how many sections there are with those. */
static int sections_order(apr_pool_t *p, apr_array_header_t *sections)
{
    ap_conf_vector_t **list = (ap_conf_vector_t **)sections->elts;
    ap_conf_vector_t **outside = apr_palloc(p,
                                            sections->nelts * sizeof(void *));
    ap_conf_vector_t *moved;
    core_dir_config *dir;
    int all = sections->nelts, count = 0, hidden = 0, i, j;

    for (i = 0; i < all; i++) {
        moved = list[i];
        dir = ap_get_core_module_config(moved);
        if (section_known(moved)->outside) {
            outside[hidden++] = moved;
            continue;
        }
        j = count++;
        while (j > 0 && (dir->r != NULL || dir->d_components == 0)
               && section_follows(list[j - 1], moved)) {
            list[j] = list[j - 1];
            j--;
        }
        list[j] = moved;
    }
    memcpy(list + count, outside, hidden * sizeof(void *));
    sections->nelts = count;
    return all;
}

/* Orders the sections of all servers; a virtual host without any shares those
 * of the main server. The number of all of them becomes a server's
 * configuration. Whether all were known. */
static int servers_order(apr_pool_t *p, apr_pool_t *ptemp, server_rec *servers)
{
    apr_array_header_t *sections, *shared = NULL;
    int *all = NULL, *shared_all = NULL;
    core_server_config *conf;
    server_rec *s;

    for (s = servers; s != NULL; s = s->next) {
        conf = ap_get_core_module_config(s->module_config);
        sections = conf->sec_dir;
        if (sections != shared) {
            if (!sections_known(s, sections)) {
                return 0;
            }
            all = apr_palloc(p, sizeof(*all));
            *all = sections_order(ptemp, sections);
        }
        else {
            all = shared_all;
        }
        if (s == servers) {
            shared = sections;
            shared_all = all;
        }
        ap_set_module_config(s->module_config, &chroot_module, all);
    }
    return 1;
}

/* Parent, root, one thread; everybody else is configured. */
static int chroot_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                              apr_pool_t *ptemp, server_rec *s)
{
    if (gen.jail == NULL) {
        return OK;
    }
    if (!may_confine(s) || gen.fd == -1 || probe_entry(ptemp, s) != PROBE_OK) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (gen.fix_root && !servers_order(pconf, ptemp, s)) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (is_final_pass()) {
        find_all(ptemp);
        findings_warn(s);
        gen.paths = NULL; /* ptemp goes */
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "mod_chroot " CHROOT_VERSION ": children are locked into "
                     "%s (%s chroot, ChrootFixRoot %s)",
                     gen.jail, gen.late ? "late" : "early",
                     fix_root_name(ptemp));
    }
    return OK;
}

/* Parent; the last thing before the MPM runs, in every generation. */
static void chroot_optional_fn_retrieve(void)
{
    gen.configured = gen.jail != NULL;
}

/* Parent. The MPM's state is STARTING here as in its children, so what other
 * modules fork between these two would be taken for one: a daemon outside. */
static int chroot_pre_mpm_first(apr_pool_t *p, ap_scoreboard_e sb_type)
{
    gen.configured = 0;
    return OK;
}

static int chroot_pre_mpm_last(apr_pool_t *p, ap_scoreboard_e sb_type)
{
    gen.configured = gen.jail != NULL;
    return OK;
}

/* Parent, at the start and end of each child; as for pre_mpm. */
static void chroot_child_status_first(server_rec *s, pid_t pid,
                                      ap_generation_t generation, int slot,
                                      mpm_child_status status)
{
    gen.configured = 0;
}

static void chroot_child_status_last(server_rec *s, pid_t pid,
                                     ap_generation_t generation, int slot,
                                     mpm_child_status status)
{
    gen.configured = gen.jail != NULL;
}

/* Whether this is the handler of a signal that ends a child. */
static int is_told_to_end(void)
{
    sigset_t blocked;

    return sigprocmask(SIG_BLOCK, NULL, &blocked) == 0
           && (sigismember(&blocked, SIGTERM) || sigismember(&blocked, SIGHUP));
}

/* An MPM child whose pool goes before it was through with drop_privileges:
 * somebody has failed, and the MPM would end the server. */
static apr_status_t child_lost(void *s)
{
    if (is_told_to_end()) {
        return APR_SUCCESS;
    }
    ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                 "a child could not drop its privileges for the jail %s",
                 gen.jail);
    child_fails();
    return APR_SUCCESS;
}

/* Each forked process, root, one thread, before mod_unixd. All MPMs set
 * STARTING in a child for such hooks; the parent is RUNNING when it respawns
 * a daemon. Daemons, and whatever else is not known, are left to mod_unixd,
 * which jails them. */
static int chroot_drop_privileges(apr_pool_t *p, server_rec *s)
{
    int state = AP_MPMQ_STOPPING;
    int rv;

    if (gen.jail == NULL) {
        return OK;
    }
    if (gen.zone != NULL && setenv("TZ", gen.zone, 1) == -1) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s, "set TZ to %s", gen.zone);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    tzset();
    (void)ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
    gen.is_child = gen.probing || (gen.configured && state == AP_MPMQ_STARTING);
    if (!gen.is_child) {
        return OK;
    }
    apr_pool_pre_cleanup_register(p, s, child_lost);
    if (gen.late) {
        ap_unixd_config.chroot_dir = NULL;
        /* mod_unixd would let User's other processes, those in the jail, trace
         * this one while it is User and still outside: prctl(2) */
        gen.dumps_core = ap_coredumpdir_configured;
        ap_coredumpdir_configured = 0;
        jailer_start(s);
    }
    else if (gen.door != gen.jail) { /* there is a /proc */
        gen.status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    }
    return OK;
}

/* Each forked process, User, after mod_unixd: a daemon is in the jail now, or
 * must not go on. The jail is opened before the first of them is forked. */
static int chroot_drop_privileges_last(apr_pool_t *p, server_rec *s)
{
    if (gen.jail == NULL) {
        return OK;
    }
    if (gen.is_child) {
        /* mod_unixd says DECLINED when it could not set the groups */
        apr_pool_cleanup_kill(p, s, child_lost);
        if (!verify_user(s)) {
            child_fails();
        }
        return OK;
    }
    fd_close(&gen.fd);
    return verify_root(s) && verify_user(s) ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

/* The inner path of a path that the parent has used, for a child; moved aside
 * when it leads out of the jail. */
static const char *path_for_child(apr_pool_t *p, const char *path)
{
    const char *inner = path_inside(p, path);

    return inner != NULL ? inner : apr_pstrcat(p, OUTSIDE, path, NULL);
}

/* Translates what requests, and signal handlers, read from globals. ServerRoot
 * and CoreDumpDirectory stay when they are outside: nobody needs them. */
static void translate_globals(apr_pool_t *p, server_rec *main_server)
{
    core_server_config *conf, *shared = NULL;
    const char *inner;
    server_rec *s;

    for (s = main_server; s != NULL; s = s->next) {
        conf = ap_get_core_module_config(s->module_config);
        if (conf->ap_document_root != NULL && conf != shared) {
            conf->ap_document_root = path_for_child(p, conf->ap_document_root);
        }
        if (s == main_server) {
            shared = conf; /* by virtual hosts without directives of the core */
        }
    }
    inner = path_inside(p, ap_coredump_dir);
    if (inner != NULL) {
        memmove(ap_coredump_dir, inner, strlen(inner) + 1);
    }
    inner = path_inside(p, ap_server_root);
    if (inner != NULL) {
        ap_server_root = inner;
    }
}

/* Allows core files again, now that the jail is closed. */
static void allow_core(server_rec *s)
{
#ifdef PR_SET_DUMPABLE
    int rv;

    if (gen.dumps_core && prctl(PR_SET_DUMPABLE, 1) == -1) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "allow core files in the jail %s", gen.jail);
    }
#endif
}

/* MPM child, User, after every other module: threads may be running. */
static void chroot_child_init(apr_pool_t *p, server_rec *s)
{
    if (gen.jail == NULL) {
        return;
    }
    if (!enter(s)) {
        child_fails();
    }
    fd_close(&gen.fd);
    allow_core(s);
    if (gen.fix_root) {
        translate_globals(p, s);
    }
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, s, "locked into %s", gen.jail);
}

/* ------------------------------------------------------------------------
 * Requests: User, any thread. Nothing shared is written.
 */

/* What kind of path r->filename is: the request's own configuration points to
 * one of these, or to nothing when mod_rewrite or mod_userdir has set it, or
 * nobody, for a file sub-request: those paths are inner ones, unless they
 * begin with the jail. */
static char mapped_alias, mapped_outer, mapped_inner, mapped_outside;

static void mapping_set(request_rec *r, char *mapping)
{
    ap_set_module_config(r->request_config, &chroot_module, mapping);
}

/* Before mod_alias, which maps to outer paths, and to inner ones where the
 * directive was translated. */
static int chroot_translate_alias(request_rec *r)
{
    mapping_set(r, &mapped_alias);
    return DECLINED;
}

/* Before other mappers to outer paths: whoever comes after mod_alias and
 * mod_userdir. */
static int chroot_translate_outer(request_rec *r)
{
    mapping_set(r, &mapped_outer);
    return DECLINED;
}

/* Between mod_alias and mod_userdir, whose directive was translated. */
static int chroot_translate_userdir(request_rec *r)
{
    mapping_set(r, NULL);
    return DECLINED;
}

/* Instead of the core, which comes next and is the last: document roots are
 * inner paths in children, so whatever the URL, this is one as well. */
static int chroot_translate_inner(request_rec *r)
{
    const char *root;
    int rv;

    if (r->proxyreq) {
        return DECLINED;
    }
    mapping_set(r, &mapped_inner);
    rv = ap_core_translate(r);
    root = ap_document_root(r);
    if (rv == OK && root != NULL && root[1] == OUTSIDE[1]
        && path_below(root, OUTSIDE) != NULL) {
        mapping_set(r, &mapped_outer); /* the jail may still be below it */
        r->filename += strlen(OUTSIDE);
    }
    return rv;
}

/* Takes the jail from the front of r->filename; what is left is not copied.
 * Whether it was there. */
static int filename_strip(request_rec *r)
{
    const chroot_root *root = (const chroot_root *)gen.roots->elts;
    int i;

    for (i = 0; i < gen.roots->nelts; i++, root++) {
        if (path_behind(r->filename, root) == NULL) {
            continue;
        }
        r->filename += root->length;
        if (*r->filename == '\0' || root->inner[1] != '\0') {
            r->filename = apr_pstrcat(r->pool, root->inner, r->filename, NULL);
        }
        return 1;
    }
    return 0;
}

/* Makes r->filename the inner path of what mapping says that it is. */
static void filename_translate(request_rec *r, const char *mapping)
{
    const char *canonical;

    if (mapping == NULL && strncmp(r->filename, INNER_TARGET, 3) == 0) {
        mapping = &mapped_inner;
    }
    canonical = path_canonical(r->pool, r->filename);
    if (canonical != r->filename) {
        r->filename = apr_pstrdup(r->pool, canonical);
    }
    if (mapping != &mapped_inner && !filename_strip(r)) {
        if (mapping != NULL) {
            r->filename = apr_pstrcat(r->pool, OUTSIDE, r->filename, NULL);
        }
        if (path_below(r->filename, OUTSIDE) != NULL) {
            mapping_set(r, &mapped_outside); /* by the compiler, or now */
        }
    }
    r->canonical_filename = r->filename;
}

/* Before any directory walk, for main and sub-requests and redirects alike:
 * from here on a request knows inner paths only. What still begins with the
 * jail then names nothing, or the self-link, which has no URL. */
static int chroot_map_to_storage(request_rec *r)
{
    const char *mapping, *root, *context, *inner;

    if (r->filename == NULL || r->filename[0] != '/') {
        return DECLINED; /* proxied, or nothing */
    }
    mapping = ap_get_module_config(r->request_config, &chroot_module);
    root = ap_document_root(r);
    context = ap_context_document_root(r);
    if (mapping == &mapped_alias && strncmp(context, INNER_TARGET, 3) == 0) {
        /* an Alias that was translated, made canonical by mod_alias */
        ap_set_context_info(r, NULL, context + 2);
        r->canonical_filename = r->filename;
    }
    else {
        if (mapping != &mapped_inner || r->filename != r->canonical_filename) {
            filename_translate(r, mapping); /* it is not the core's */
        }
        inner = context != root ? path_inside(r->pool, context) : NULL;
        if (inner != NULL) {
            ap_set_context_info(r, NULL, inner);
        }
    }
    inner = path_inside(r->pool, root);
    if (inner != NULL) {
        ap_set_document_root(r, inner);
    }
    return path_inside(r->pool, r->filename) != NULL ? HTTP_NOT_FOUND
                                                     : DECLINED;
}

/* Whether a section's regular expression, which httpd has compiled before in
 * another form, matches a path. */
static int pattern_matches(apr_pool_t *p, const char *text, const char *path)
{
    ap_regex_t *regex = ap_pregcomp(p, text, AP_REG_EXTENDED);

    return regex != NULL && ap_regexec(regex, path, 0, NULL, 0) == 0;
}

/* Instead of the core, for requests that lead outside: there is no file, but
 * the sections about it hold, as a handler may be asked for all the same. */
static int chroot_map_outside(request_rec *r)
{
    core_server_config *conf = ap_get_core_module_config(
        r->server->module_config);
    ap_conf_vector_t **list = (ap_conf_vector_t **)conf->sec_dir->elts;
    const int *all = ap_get_module_config(r->server->module_config,
                                          &chroot_module);
    apr_array_header_t *found;
    const chroot_section *section;
    ap_conf_vector_t *before;
    const char *inner;
    chroot_root path;
    int i, j;

    if (ap_get_module_config(r->request_config, &chroot_module)
        != &mapped_outside) {
        return DECLINED;
    }
    path.outer = path_below(path_canonical(r->pool, r->filename), OUTSIDE);
    if (path.outer == NULL) {
        return HTTP_FORBIDDEN;
    }
    path.length = strlen(path.outer);
    path.inner = "/";
    found = apr_array_make(r->pool, 8, sizeof(void *));
    for (i = 0; i < *all; i++) {
        section = section_known(list[i]);
        if (section->is_regex
                ? !pattern_matches(r->pool, section->path, path.outer)
                : section_lies(r->pool, section->path, &path, &inner)
                      < LIES_AT) {
            continue;
        }
        APR_ARRAY_PUSH(found, ap_conf_vector_t *) = list[i];
        for (j = found->nelts - 1; j > 0; j--) {
            before = APR_ARRAY_IDX(found, j - 1, ap_conf_vector_t *);
            if (!section_follows(before, list[i])) {
                break;
            }
            APR_ARRAY_IDX(found, j, ap_conf_vector_t *) = before;
        }
        APR_ARRAY_IDX(found, j, ap_conf_vector_t *) = list[i];
    }
    for (i = 0; i < found->nelts; i++) {
        r->per_dir_config = ap_merge_per_dir_configs(
            r->pool, r->per_dir_config,
            APR_ARRAY_IDX(found, i, ap_conf_vector_t *));
    }
    return ap_file_walk(r);
}

/* Answers for mod_cgid when its daemon is out of reach, but only what it would
 * have asked the daemon for (mod_cgid.c, cgid_handler). */
static int chroot_handler(request_rec *r)
{
    const char *forced;

    if (r->finfo.filetype != APR_REG
        || (strcmp(r->handler, "cgi-script") != 0
            && strcmp(r->handler, "application/x-httpd-cgi") != 0)) {
        return DECLINED;
    }
    forced = apr_table_get(r->notes, "alias-forced-type");
    if (!(ap_allow_options(r) & OPT_EXECCGI)
        && (forced == NULL || strcasecmp(forced, "cgi-script") != 0)) {
        return DECLINED;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "mod_cgid's daemon is out of "
                  "reach in the jail %s, see the warning at start",
                  gen.jail);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* mod_status's page, or with ?auto its lines: which jail this is. */
static int chroot_status(request_rec *r, int flags)
{
    if (gen.jail != NULL) {
        ap_rprintf(r,
                   flags & AP_STATUS_SHORT
                       ? "ChrootDir: %s (%s chroot, ChrootFixRoot %s)\n"
                       : "<hr />\n<p>ChrootDir: %s (%s chroot, "
                         "ChrootFixRoot %s)</p>\n",
                   ap_escape_html(r->pool, gen.jail),
                   gen.late ? "late" : "early", fix_root_name(r->pool));
    }
    return OK;
}

/* Sorts paths by where they stand in the configuration. */
static int paths_sorter(const void *a, const void *b)
{
    const chroot_path *one = a, *other = b;
    int order = strcmp(one->node->filename, other->node->filename);

    if (order == 0) {
        order = one->node->line_num - other->node->line_num;
    }
    return order != 0 ? order : strcmp(one->written, other->written);
}

/* What a column of the report says of a path; one with blanks is quoted. */
static const char *column(apr_pool_t *p, const chroot_path *path, int n)
{
    static const char *const fates[] = { "unknown", "inside", "outside",
                                         "missing", "not readable by User" };
    const char *text = path->written;

    switch (n) {
    case 0:
        return path->name[0] == '<' ? apr_pstrcat(p, path->name, ">", NULL)
                                    : path->name;
    case 1:
        break;
    case 2:
        text = path->inner == NULL
                   ? "-"
                   : apr_pstrcat(p, path->inner,
                                 path->rest[0] == '\0'
                                         || path->inner[strlen(path->inner) - 1]
                                                == '/'
                                     ? ""
                                     : "/",
                                 path->rest, NULL);
        break;
    case 3:
        return fates[path->fate];
    default:
        return apr_psprintf(p, "%s:%d", path->node->filename,
                            path->node->line_num);
    }
    return strpbrk(text, " \t") != NULL ? apr_pstrcat(p, "\"", text, "\"", NULL)
                                        : text;
}

/* One line for each path of the configuration, in columns. */
static void report_paths(apr_pool_t *p, apr_file_t *out)
{
    static const char *const titles[] = { "Directive", "Path", "For children",
                                          "Fate", "Where" };
    const chroot_path *paths = (chroot_path *)gen.paths->elts;
    int width[5], i, n, length;

    for (n = 0; n < 5; n++) {
        width[n] = (int)strlen(titles[n]);
        for (i = 0; i < gen.paths->nelts; i++) {
            length = (int)strlen(column(p, &paths[i], n));
            if (paths[i].cure == NULL && length > width[n]
                && length <= REPORT_COLUMN) {
                width[n] = length;
            }
        }
    }
    for (i = -1; i < gen.paths->nelts; i++) {
        if (i >= 0 && paths[i].cure != NULL) {
            continue;
        }
        for (n = 0; n < 5; n++) {
            apr_file_printf(out, "%-*s%s", n < 4 ? width[n] : 0,
                            i < 0 ? titles[n] : column(p, &paths[i], n),
                            n < 4 ? "  " : "\n");
        }
    }
}

/* The report: what is in force, what becomes of the configuration's paths, and
 * all findings, a line each. */
static void report(apr_pool_t *p, apr_file_t *out)
{
    const chroot_finding *finding = (chroot_finding *)gen.findings->elts;
    const char *zone = gen.zone != NULL ? gen.zone : getenv("TZ");
    int bites, i;

    qsort(gen.paths->elts, gen.paths->nelts, sizeof(chroot_path), paths_sorter);
    apr_file_printf(out, "ChrootDir: %s (%s at %s:%d)\n", gen.jail, gen.written,
                    gen.node->filename, gen.node->line_num);
    apr_file_printf(out, "ChrootFixRoot: %s\n", fix_root_name(p));
    apr_file_printf(out, "Chroot: %s\n",
                    !gen.entered ? geteuid() == 0 ? "not possible, see above"
                                                  : "only root can try"
                    : gen.late   ? "late"
                                 : "early");
    apr_file_printf(out, "Preloaded: %s\n",
                    apr_array_pstrcat(p, preload(p), ' '));
    apr_file_printf(out, "Time zone: %s\n", zone != NULL ? zone : "UTC");
    if (gen.mount) {
        view_report(out);
    }
    else if (gen.jail[1] != '\0') {
        apr_file_printf(out, "Self-link: %s; to make it: %s\n",
                        self_link_state(p, gen.jail),
                        self_link_cure(p, gen.jail));
    }
    apr_file_puts("\n", out);
    report_paths(p, out);
    apr_file_puts("\n", out);
    for (bites = 1; bites >= 0; bites--) {
        for (i = 0; i < gen.findings->nelts; i++) {
            if (finding[i].bites == bites) {
                apr_file_printf(out, "%s: %s\n", bites ? "warning" : "note",
                                finding[i].text);
            }
        }
    }
}

/* Parent, anybody, -t: tries what post_config does at a start, which is refused
 * because of it. Whoever is not root cannot try. */
static int chroot_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                               apr_pool_t *ptemp, server_rec *s)
{
    chroot_probe answer;
    const char *error;

    if (gen.jail == NULL || ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_NORMAL) {
        return OK;
    }
    gen.zone = zone_for_children(pconf);
    if (gen.mount) {
        error = view_plan(pconf, ptemp);
        if (error != NULL) {
            ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s, "%s", error);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    if (geteuid() != 0 || !may_confine(s)) {
        return OK;
    }
    if (jail_open(pconf, s) != 0) {
        return gen.mount ? HTTP_INTERNAL_SERVER_ERROR : OK;
    }
    answer = probe_entry(ptemp, s);
    gen.entered = answer == PROBE_OK;
    ap_unixd_config.chroot_dir = gen.jail; /* for DUMP_RUN_CFG */
    return answer == PROBE_NO_SEARCH ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

/* Parent, -t, anybody: what start would warn of; for DUMP_RUN_CFG a line
 * beside mod_unixd's, for DUMP_CHROOT the report. */
static void chroot_test_config(apr_pool_t *p, server_rec *s)
{
    apr_file_t *out = NULL;
    int i;

    (void)apr_file_open_stdout(&out, p);
    if (gen.jail == NULL) {
        if (out != NULL && gen.dump) {
            apr_file_puts("ChrootDir: none\n", out);
        }
        return;
    }
    for (i = 0; !gen.entered && i < gen.paths->nelts; i++) {
        APR_ARRAY_IDX(gen.paths, i, chroot_path).fate = path_fate(
            p, &APR_ARRAY_IDX(gen.paths, i, chroot_path), gen.jail);
    }
    find_all(p);
    if (out != NULL && ap_exists_config_define("DUMP_RUN_CFG")) {
        apr_file_printf(out, "ChrootFixRoot: %s\n", fix_root_name(p));
    }
    if (out != NULL && gen.dump) {
        report(p, out);
    }
    else {
        findings_warn(s);
    }
}

/* ------------------------------------------------------------------------
 * Directives
 */

/* Returns the error that the compiler has found. */
static const char *chroot_cmd_error(cmd_parms *cmd, void *unused,
                                    const char *args)
{
    return args;
}

/* Marks the section it stands in as compiled. */
static const char *chroot_cmd_section(cmd_parms *cmd, void *unused)
{
    ap_set_module_config(cmd->context, &chroot_module, cmd->directive->data);
    return NULL;
}

/* Everything was settled in pre_config; what is left is to report. */
static const char *chroot_cmd_chrootdir(cmd_parms *cmd, void *unused,
                                        const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (err != NULL) {
        return err;
    }
    if (gen.jail == NULL || strcmp(arg, gen.jail) != 0) {
        return apr_psprintf(cmd->pool,
                            "%s \"%s\" must stand in a "
                            "configuration file: code that runs while it is "
                            "carried out is too late",
                            cmd->cmd->name, arg);
    }
    return NULL;
}

static const char *chroot_cmd_chrootfixroot(cmd_parms *cmd, void *unused,
                                            const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (err != NULL) {
        return err;
    }
    if (strcasecmp(arg, "Mount") == 0) {
        return !CHROOT_VIEW
                   ? apr_psprintf(cmd->pool,
                                  "%s \"%s\" takes Linux 5.12 or newer, and "
                                  "a mod_chroot built there; On works "
                                  "everywhere",
                                  cmd->cmd->name, arg)
               : gen.jail != NULL && gen.jail[1] == '\0'
                   ? apr_psprintf(cmd->pool,
                                  "%s \"%s\" with ChrootDir \"/\" would "
                                  "show children everything",
                                  cmd->cmd->name, arg)
                   : NULL;
    }
    if (flag_value(arg) == -1) {
        return apr_psprintf(cmd->pool, "%s \"%s\" must be On, Off or Mount",
                            cmd->cmd->name, arg);
    }
    return NULL;
}

/* ChrootBind [ro|rw] path...: the plan reads it again, when User is known. */
static const char *chroot_cmd_chrootbind(cmd_parms *cmd, void *unused, int argc,
                                         char *const argv[])
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY), *path;
    int writable = argc > 0 && strcasecmp(argv[0], "rw") == 0;
    int i = writable || (argc > 0 && strcasecmp(argv[0], "ro") == 0);
    char real[PATH_MAX];

    if (err != NULL) {
        return err;
    }
    if (i == argc || !gen.mount) {
        return apr_psprintf(cmd->pool, "%s %s", cmd->cmd->name,
                            i == argc ? "takes paths, after ro or rw"
                                      : "is for ChrootFixRoot Mount; set that");
    }
    for (; gen.jail != NULL && i < argc; i++) {
        path = ap_server_root_relative(cmd->pool, argv[i]);
        err = path == NULL ? "not a valid path"
              : realpath(path, real) != NULL
                  ? view_refusal(real, RANK_EXPLICIT, writable)
                  : NULL;
        if (err != NULL) {
            return apr_psprintf(cmd->pool, "%s \"%s\": %s", cmd->cmd->name,
                                argv[i], err);
        }
    }
    return NULL;
}

/* Registers the hooks of requests that this configuration needs: httpd sorts
 * them behind pre_config once more, and forgets them with the configuration. */
static void register_request_hooks(void)
{
    static const char *const alias[] = { "mod_alias.c", NULL };
    static const char *const userdir[] = { "mod_userdir.c", NULL };
    static const char *const mappers[] = { "mod_alias.c", "mod_userdir.c",
                                           NULL };
    static const char *const vhost_alias[] = { "mod_vhost_alias.c", NULL };
    static const char *const core[] = { "core.c", NULL };
    const char *current = apr_hook_debug_current;

    apr_hook_debug_current = chroot_module.name;
    if (gen.fix_root) {
        ap_hook_translate_name(chroot_translate_alias, NULL, alias,
                               APR_HOOK_MIDDLE);
        if (ap_find_linked_module("mod_userdir.c") != NULL) {
            ap_hook_translate_name(chroot_translate_userdir, alias, userdir,
                                   APR_HOOK_MIDDLE);
        }
        ap_hook_translate_name(chroot_translate_outer, mappers, vhost_alias,
                               APR_HOOK_MIDDLE);
        ap_hook_translate_name(chroot_translate_inner, NULL, core,
                               APR_HOOK_REALLY_LAST);
        ap_hook_map_to_storage(chroot_map_to_storage, NULL, NULL,
                               APR_HOOK_FIRST);
        ap_hook_map_to_storage(chroot_map_outside, NULL, NULL,
                               APR_HOOK_REALLY_LAST - 1);
    }
    if (gen.cgid_deaf) {
        ap_hook_handler(chroot_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    }
    apr_hook_debug_current = current;
}

static void chroot_register_hooks(apr_pool_t *p)
{
    ap_hook_pre_config(chroot_pre_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_check_config(chroot_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_open_logs(chroot_open_logs, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_config(chroot_post_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_optional_fn_retrieve(chroot_optional_fn_retrieve, NULL, NULL,
                                 APR_HOOK_REALLY_LAST + OUTERMOST);
    ap_hook_pre_mpm(chroot_pre_mpm_first, NULL, NULL,
                    APR_HOOK_REALLY_FIRST - OUTERMOST);
    ap_hook_pre_mpm(chroot_pre_mpm_last, NULL, NULL,
                    APR_HOOK_REALLY_LAST + OUTERMOST);
    ap_hook_child_status(chroot_child_status_first, NULL, NULL,
                         APR_HOOK_REALLY_FIRST - OUTERMOST);
    ap_hook_child_status(chroot_child_status_last, NULL, NULL,
                         APR_HOOK_REALLY_LAST + OUTERMOST);
    ap_hook_drop_privileges(chroot_drop_privileges, NULL, NULL,
                            APR_HOOK_REALLY_FIRST);
    ap_hook_drop_privileges(chroot_drop_privileges_last, NULL, NULL,
                            APR_HOOK_REALLY_LAST);
    ap_hook_child_init(chroot_child_init, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_test_config(chroot_test_config, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ap, status_hook, chroot_status, NULL, NULL,
                      APR_HOOK_MIDDLE);
}

static const command_rec chroot_cmds[] = {
    AP_INIT_TAKE1("ChrootDir", chroot_cmd_chrootdir, NULL, RSRC_CONF,
                  "the directory to lock children into, a path, "
                  "DOCUMENT_ROOT, SERVER_ROOT or none"),
    AP_INIT_TAKE1("ChrootFixRoot", chroot_cmd_chrootfixroot, NULL, RSRC_CONF,
                  "On if the configuration's paths are those outside the jail, "
                  "Mount if children see ChrootDir by that path, too"),
    AP_INIT_TAKE_ARGV("ChrootBind", chroot_cmd_chrootbind, NULL, RSRC_CONF,
                      "with ChrootFixRoot Mount, what children see besides "
                      "ChrootDir: ro, which is the default, or rw, and paths"),
    AP_INIT_RAW_ARGS(NODE_ERROR, chroot_cmd_error, NULL,
                     RSRC_CONF | ACCESS_CONF | OR_ALL, "internal"),
    AP_INIT_NO_ARGS(NODE_SECTION, chroot_cmd_section, NULL, ACCESS_CONF,
                    "internal"),
    { 0 }
};

module AP_MODULE_DECLARE_DATA chroot_module = {
    STANDARD20_MODULE_STUFF,
    .cmds = chroot_cmds,
    .register_hooks = chroot_register_hooks,
};
