/* Licensed under the Apache License, Version 2.0: see the file LICENSE. */

/*
 * mod_chroot: lock every process that can touch a request into a directory
 * that contains nothing but web content. The parent stays outside, so logs,
 * pid files, certificates and graceful restarts work as before.
 *
 *     LoadModule chroot_module modules/mod_chroot.so
 *     ChrootDir /srv/www
 *     ChrootFixRoot Mount
 *
 * The file follows the life of a generation: ChrootDir is settled, the
 * configuration's paths are noted, the jail is opened and tried, children enter
 * it, requests are served in it.
 *
 * ChrootFixRoot Mount: children see a file system of their own (the view) with
 * ChrootDir and what the configuration names, each under its own name.
 *
 * ChrootFixRoot On: the configuration stays as it is. httpd decides about a
 * request by outer names, which a symbolic link in the jail (the self-link)
 * makes valid for children. When everything has been decided, the jail's path
 * is cut off the request's names, and handlers see inner ones.
 *
 * ChrootFixRoot Off: the configuration's paths are inner ones.
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
#include "ap_expr.h"
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
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#endif

/* configure decides on late chroot, which needs Linux's clone(2) */
#if !defined(CHROOT_LATE) || !defined(__linux__)
#undef CHROOT_LATE
#define CHROOT_LATE 0
#endif

/* ChrootFixRoot Mount needs Linux 5.12 and the kernel's own headers: libc may
 * lack its calls, or declare them differently. Values: umount2(2),
 * mount_setattr(2). */
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

/* Without O_PATH any descriptor will do: the jail is never read through it */
#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

/* At most this many descriptors are tried one by one, even if the limit is
 * "unlimited": Linux's default of fs.nr_open, proc_sys_fs(5) */
#define DESCRIPTORS_MAX (1L << 20)

/* Milliseconds between a jailer's checks that its child is still there */
#define JAILER_POLL 1000

/* Bytes: a few system calls, and no signal handlers, need far less */
#define JAILER_STACK (64 * 1024)

/* An empty directory in the jail, through which the self-link leads to the
 * jail's root. The host has none of that name, so outside the jail the link
 * leads nowhere. */
#define LINK_ANCHOR "/.mod_chroot"

/* Where host names are looked up: resolv.conf(5), hosts(5) */
#define RESOLVER "/etc/resolv.conf"
#define HOSTS    "/etc/hosts"

/* Debian's default of FcgidIPCDir */
#define FCGID_SOCKETS "/var/lib/apache2/fcgid/sock"

/* act_link()'s answer when something else has the link's name */
#define LINK_WRONG 255

/* Puts a hook before, or after, those of all other modules: some do use
 * APR_HOOK_REALLY_FIRST - 10 */
#define OUTERMOST 1000

/* How much of a jail is inspected at start: directories to this depth, this
 * many entries of each, and this many in all. Enough to find what was copied
 * into a jail by mistake, and fast. */
#define INSPECT_DEPTH     2
#define INSPECT_DIRECTORY 1024
#define INSPECT_ENTRIES   4096

/* How many entries of an application's directory are searched for links */
#define APP_ENTRIES 100000

/* At most this many paths are looked at, at start and at configtest; those that
 * decide about access always are, and the report looks at all */
#define LOOK_PATHS 1024

/* A child that could not be confined waits this long before it exits, so that
 * the parent tries again once a second at most */
#define SICK_PAUSE apr_time_from_sec(1)

/* tzfile(5): the last line is the rule; no zone has a longer one */
#define ZONE_RULE_MAX 256
#ifndef TZDIR
#define TZDIR "/usr/share/zoneinfo"
#endif

/* Exit status of a probe, a process that tries the way into the jail */
typedef enum {
    PROBE_OK = 0,
    PROBE_NO_JAILER = 1,            /* clone(CLONE_FS) is forbidden */
    PROBE_NO_SEARCH = 2,            /* User may not search the jail */
    PROBE_NOT_IN = 3,               /* not locked in; the reason was logged */
    PROBE_FAILED = APEXIT_CHILDSICK /* any other failure, logged */
} chroot_probe;

/* The jailer's answer: the call that failed, or NULL, and its errno */
typedef struct {
    const char *call;
    int error;
} chroot_answer;

/* What children can do with a path, as the probe saw it */
typedef enum {
    FATE_UNKNOWN,
    FATE_INSIDE,
    FATE_OUTSIDE,
    FATE_MISSING,
    FATE_EMPTY,     /* a directory without entries */
    FATE_LEADS_OUT, /* a symbolic link whose target is not in the jail */
    FATE_READ_ONLY, /* its mount is */
    FATE_BROKEN,    /* a program whose interpreter or libraries are missing */
    FATE_UNREADABLE
} chroot_fate;

/* Who wants a path in the view; the highest rank says how it is mounted */
typedef enum { RANK_MAPPED, RANK_NEEDED, RANK_EXPLICIT } view_rank;

/* A path that a directive wants in the view */
typedef struct {
    const ap_directive_t *node;
    const char *path;
    view_rank rank;
    int writable;
} view_wish;

/* How serious a finding is */
typedef enum { FINDING_NOTE, FINDING_WARNING, FINDING_ERROR } chroot_level;

/* A path that the configuration names, or that it needs in the jail */
typedef struct {
    const ap_directive_t *node;
    const char *path;   /* absolute; the name by which children look for it */
    const char *rest;   /* what follows path, and depends on the request */
    chroot_level level; /* of the finding when children cannot use it */
    const char *need;   /* what it is needed for, if no directive names it */
    int mode;           /* for access(2); 0: what its type suggests */
    unsigned does;      /* flags of its row */
    chroot_fate fate;
} chroot_path;

/* What an administrator should know about the configuration or the jail */
typedef struct {
    const char *text;
    chroot_level level;
} chroot_finding;

/* One generation: from pre_config to the pool cleanup of its configuration.
 * Filled in the parent, inherited by its children, never written by requests.
 */
typedef struct {
    const char *jail;     /* canonical path, NULL without a jail */
    size_t length;        /* of jail */
    const char *written;  /* the argument of ChrootDir */
    const char *link;     /* its path with symbolic links, if it has any */
    ap_directive_t *node; /* the ChrootDir that counts */
    const char *error;    /* what is wrong with it */
    int fix_root;         /* ChrootFixRoot On */
    int mount;            /* ChrootFixRoot Mount */
    apr_hash_t *top;      /* names in the host's root directory */
    apr_hash_t *targets;  /* those of them that rewrite rules map URLs to */
    int any_target;       /* rules may map to any of them: UnsafePrefixStat */
    int rules;            /* the configuration has rewrite rules */
    int dbd_decides;      /* a RewriteMap queries it, so DBDParams decides */
    apr_array_header_t *wishes;   /* of view_wish */
    apr_array_header_t *accesses; /* the file names of AccessFileName */
    apr_hash_t *htaccess;         /* AccessFileName files above the jail */
    const struct htaccess_result *above; /* cached: none above the jail */
    int cgid_deaf;                /* children cannot reach mod_cgid's socket */
    apr_array_header_t *findings; /* of chroot_finding */
    apr_array_header_t *paths;    /* of chroot_path; NULL: not collected */
    apr_hash_t *needs;            /* keys of the needs among them */
    int dump;                     /* the report is wanted, with all paths */
    int fd;                       /* the jail, opened and checked at start */
    dev_t dev;
    ino_t ino;
    const char *door; /* the argument of chroot(2) */
    const char *zone; /* TZ for children, NULL to leave it alone */
    int late;         /* a jailer calls chroot(2), at the end of child_init;
                       * otherwise mod_unixd does, before it */
    int entered;      /* at configtest: a probe got in */
    int configured;   /* an MPM child may be forked now */
} chroot_generation;

APLOG_USE_MODULE(chroot);

static chroot_generation gen = { .fd = -1 };

/* What a process forked from the parent knows about itself */
static struct {
    int probing;      /* it is a probe */
    int is_child;     /* it is an MPM child, or a probe */
    apr_finfo_t root; /* of its root; stands for directories outside */
    int dumps_core;   /* CoreDumpDirectory is set */
    int tasks;        /* /proc/self/task, opened outside, if late */
    int status;       /* /proc/self/status, opened outside, if early */
    pid_t jailer;
    int ask, answer; /* its ends of the jailer's pipes */
} child = { .tasks = -1, .status = -1 };

/* Closes a descriptor of this process, once. */
static void fd_close(int *fd)
{
    if (*fd != -1) {
        close(*fd);
        *fd = -1;
    }
}

#if CHROOT_LATE || CHROOT_VIEW
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
#endif

/* Whether two files are the same. */
static int is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether this is not the first of the two passes of a start. */
static int is_final_pass(void)
{
    return ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL
           || ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG;
}

/* Whether children of an earlier generation may be running: then nothing that
 * they do may end the parent. */
static int is_restart(void)
{
    return ap_state_query(AP_SQ_CONFIG_GEN) > 1;
}

/* ------------------------------------------------------------------------
 * Paths
 */

/* Returns what follows the directory dir, of length bytes, in path: a pointer
 * into path, at a "/", or "/" for dir itself. NULL if path is neither dir nor
 * below it. Both must be canonical, but path may end in slashes. */
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

/* The inner path of an outer one, or NULL when it is not in the jail. */
static const char *path_inside(const char *path)
{
    return path_rest(path, gen.jail, gen.length);
}

/* Whether an absolute path, but for slashes at its end, is as httpd's directory
 * walk sees it: without "//", "." and "..". No for names that begin with a dot,
 * which are rare. */
static int path_is_plain(const char *path)
{
    for (; path != NULL; path = strchr(path + 1, '/')) {
        if (path[1] == '/' || path[1] == '.') {
            return 0;
        }
    }
    return 1;
}

/* Returns an absolute path as httpd's directory walk sees it: without "//", "."
 * and ".."; unchanged if it climbs above the root. */
static const char *path_canonical(apr_pool_t *p, const char *path)
{
    const char *rest = path_inside(path); /* the jail is canonical */
    char *canonical;

    if (path_is_plain(rest != NULL ? rest : path)) {
        return path;
    }
    return apr_filepath_merge(&canonical, NULL, path, APR_FILEPATH_TRUENAME, p)
                   == APR_SUCCESS
               ? canonical
               : path;
}

/* The length of a path without the slashes at its end; "/" stays. */
static size_t path_length(const char *path)
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    return length;
}

static const char *path_trimmed(apr_pool_t *p, const char *path)
{
    size_t length = path_length(path);

    return path[length] == '\0' ? path : apr_pstrmemdup(p, path, length);
}

/* The directory that a path is in. */
static const char *path_parent(apr_pool_t *p, const char *path)
{
    return path_trimmed(p, ap_make_dirstr_parent(p, path));
}

/* The first component of a path, without slashes. */
static const char *path_top(apr_pool_t *p, const char *path)
{
    path += strspn(path, "/");
    return apr_pstrmemdup(p, path, strcspn(path, "/"));
}

/* Whether the host's root directory has the first component of a path. If so,
 * mod_rewrite takes it for a file path, otherwise for a URL (prefix_stat). */
static int host_has_top(apr_pool_t *p, const char *path)
{
    return apr_hash_get(gen.top, path_top(p, path), APR_HASH_KEY_STRING)
           != NULL;
}

/* For a canonical path that is not below the jail but leads there through a
 * symbolic link: returns where in the jail it leads, or NULL. What follows the
 * link in path is not looked at. */
static const char *path_through_link(apr_pool_t *p, const char *path)
{
    const char *end = path, *rest;
    char real[PATH_MAX];

    while (*end != '\0' && path_inside(path) == NULL) {
        end += 1 + strcspn(end + 1, "/");
        if (realpath(apr_pstrmemdup(p, path, end - path), real) == NULL) {
            return NULL;
        }
        rest = path_inside(real);
        if (rest != NULL) {
            return apr_pstrcat(p, real, end, NULL);
        }
    }
    return NULL;
}

/* Text for a log or a terminal: control characters become "?". */
static const char *printable(apr_pool_t *p, const char *text)
{
    char *copy, *c;

    for (c = copy = apr_pstrdup(p, text); *c != '\0'; c++) {
        if (apr_iscntrl(*c)) {
            *c = '?';
        }
    }
    return copy;
}

/* ------------------------------------------------------------------------
 * Findings, and directives of the tree
 */

/* A directive and its place in the configuration. */
static const char *node_place(apr_pool_t *p, const ap_directive_t *node)
{
    return apr_psprintf(p, "%s%s at %s:%d", node->directive,
                        node->directive[0] == '<' ? ">" : "", node->filename,
                        node->line_num);
}

/* Adds a finding about a directive, or, if node is NULL, about none. */
__attribute__((format(printf, 3, 4))) static void
finding_add(const ap_directive_t *node, chroot_level level, const char *format,
            ...)
{
    chroot_finding *finding = apr_array_push(gen.findings);
    apr_pool_t *p = gen.findings->pool;
    va_list args;

    va_start(args, format);
    finding->text = apr_pstrcat(
        p, node != NULL ? node_place(p, node) : "", node != NULL ? " " : "",
        printable(p, apr_pvsprintf(p, format, args)), NULL);
    va_end(args);
    finding->level = level;
}

/* Logs the findings of a level. Returns how many there are. */
static int findings_log(server_rec *s, chroot_level level)
{
    const chroot_finding *finding = (chroot_finding *)gen.findings->elts;
    int count = 0, i;

    for (i = 0; i < gen.findings->nelts; i++, finding++) {
        if (finding->level == level) {
            ap_log_error(APLOG_MARK,
                         level == FINDING_ERROR ? APLOG_ALERT | APLOG_STARTUP
                                                : APLOG_WARNING,
                         0, s, "%s", finding->text);
            count++;
        }
    }
    return count;
}

/* Returns the only argument of a node, or NULL if there is none or more than
 * one: httpd has a message for that. */
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

/* ------------------------------------------------------------------------
 * ChrootDir settled
 */

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

/* Returns the directory that a ChrootDir argument means, absolute but with its
 * symbolic links; or NULL, with an error text, when it means none. */
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
            *error = "the main server has no DocumentRoot; write the directory "
                     "instead of the keyword";
            return NULL;
        }
    }
    path = ap_server_root_relative(p, path);
    if (path == NULL) {
        *error = "not a valid path";
    }
    return path;
}

/* Sets gen.jail, length and link from a ChrootDir argument. Returns an error
 * text or NULL. */
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
    gen.length = strlen(gen.jail);
    path = path_trimmed(p, path);
    gen.link = strcmp(path, gen.jail) != 0 ? path : NULL;
    if (gen.fix_root && gen.link != NULL) {
        return apr_psprintf(p,
                            "%s is a symbolic link, and with ChrootFixRoot On "
                            "a directory has one name; write \"%s\"",
                            path, gen.jail);
    }
    return NULL;
}

/* A word between double quotes, as ap_getword_conf() will read it back. */
static const char *word_quoted(apr_pool_t *p, const char *word)
{
    char *out = apr_palloc(p, 2 * strlen(word) + 3), *to = out;

    *to++ = '"';
    for (; *word != '\0'; word++) {
        if (*word == '"' || *word == '\\') {
            *to++ = '\\';
        }
        *to++ = *word;
    }
    *to++ = '"';
    *to = '\0';
    return out;
}

/* Writes path back into every top-level ChrootDir, so that mod_unixd, which has
 * this directive, too, accepts it whichever of the two modules was loaded
 * first. Without a jail, path is NULL, and the nodes are removed. A node with a
 * wrong number of arguments stays: httpd itself reports it. */
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

/* Settles what the last ChrootDir and ChrootFixRoot mean, before any directive
 * is processed. A bad value of ChrootFixRoot is left to its handler. */
static void jail_settle(apr_pool_t *p)
{
    ap_directive_t *node = node_last("ChrootFixRoot");
    const char *word = node != NULL ? node_word(p, node) : NULL;
    const char *error;

    gen.fix_root = word != NULL && flag_value(word) == 1;
    gen.mount = word != NULL && strcasecmp(word, "Mount") == 0;
    node = node_last("ChrootDir");
    word = node != NULL ? node_word(p, node) : NULL;
    if (word == NULL) {
        return;
    }
    if (strcasecmp(word, "none") == 0) {
        jail_write_back(p, NULL);
        return;
    }
    error = jail_resolve(p, word);
    if (error != NULL) {
        gen.error = apr_psprintf(p, "ChrootDir \"%s\": %s", word, error);
        gen.jail = gen.link = NULL;
    }
    gen.node = node;
    gen.written = word;
    /* mod_unixd wants a directory, whatever the error is */
    jail_write_back(p, gen.jail != NULL ? gen.jail : "/");
    gen.fix_root = gen.fix_root && gen.jail != NULL && gen.jail[1] != '\0';
}

/* ------------------------------------------------------------------------
 * The table of directives
 */

/* Instead of the number of a word */
#define EACH (-1)
#define LAST (-2)

/* Where a path is in a word */
typedef enum {
    FORM_NONE,    /* no path */
    FORM_PATH,    /* absolute; anything else is no path */
    FORM_ROOTED,  /* relative to ServerRoot, or absolute */
    FORM_TYPED,   /* the same, after txt:, rnd: or dbm: */
    FORM_COMMAND, /* the same, up to a blank */
    FORM_INSPECT, /* after @inspectFile or @validate... in a SecRule */
    FORM_SOCKET,  /* between unix: and a "|" */
    FORM_VALUE,   /* all of it, or after "=", up to a blank or a comma */
    FORM_LIST,    /* absolute ones, separated by ":" or ";" */
    FORM_PHP,     /* the same, after the name of a setting */
    FORM_SECTION, /* absolute or a pattern; "~" may precede it */
    FORM_TARGET,  /* of a RewriteRule, unless it is a URL */
    FORM_TESTED   /* of a RewriteCond, if its pattern tests files */
} chroot_form;

/* What a directive does with its path, and with its other words */
#define MAPS     1    /* URLs are mapped to it */
#define DECIDES  2    /* access depends on it */
#define WRITES   4    /* children write to it */
#define BACKEND  8    /* words are URLs whose hosts children look up */
#define NAMES    16   /* words may be names of hosts or of users */
#define RUNS     32   /* words that begin with "|" or "prg:" run outside */
#define EXECUTES 64   /* children run it, or programs in it */
#define BELOW    128  /* children write to what is in it */
#define PLANS    256  /* only the view uses it */
#define QUERIED  512  /* access depends on it if a RewriteMap queries it */
#define SPECIAL  1024 /* node_special() knows more */
#define SECTION  2048 /* it is a section about what is below it */
#define INNER    4096 /* of a note: where the jail has a section's path */

/* The directives that name paths or need files, of httpd 2.4 and other modules.
 * All others name no paths, or only the parent's. */
typedef struct {
    const char *names; /* with blanks between them */
    int word;          /* from 0, or EACH, or LAST */
    chroot_form form;
    unsigned does;
} chroot_directive;

static const chroot_directive directives[] = {
    /* mod_alias.c, core.c, mod_vhost_alias.c, mod_userdir.c, mod_wsgi */
    { "Alias AliasMatch", LAST, FORM_ROOTED, MAPS },
    { "ScriptAlias ScriptAliasMatch", LAST, FORM_ROOTED, MAPS | EXECUTES },
    { "DocumentRoot", 0, FORM_ROOTED, MAPS },
    { "VirtualDocumentRoot VirtualDocumentRootIP VirtualScriptAlias "
      "VirtualScriptAliasIP",
      0, FORM_PATH, MAPS },
    { "UserDir", EACH, FORM_PATH, MAPS | NAMES },
    { "WSGIScriptAlias WSGIScriptAliasMatch", 1, FORM_ROOTED, MAPS },
    /* mod_rewrite.c */
    { "RewriteRule", 1, FORM_TARGET, MAPS | BACKEND | SPECIAL },
    { "RewriteCond", 0, FORM_TESTED, DECIDES | SPECIAL },
    { "RewriteMap", 1, FORM_TYPED, DECIDES | RUNS | SPECIAL },
    /* mod_authn_file.c, mod_auth_digest.c, mod_authn_dbm.c, mod_authz_*.c,
     * mod_proxy_express.c, mod_authnz_svn */
    { "AuthUserFile AuthGroupFile AuthDBMUserFile AuthDBMGroupFile "
      "ProxyExpressDBMFile AuthzSVNAccessFile",
      0, FORM_ROOTED, DECIDES },
    { "AuthzSVNReposRelativeAccessFile AuthzSVNGroupsFile", 0, FORM_PATH,
      DECIDES },
    /* mod_ssl, mod_ldap */
    { "SSLCACertificatePath SSLCARevocationPath SSLProxyCACertificatePath "
      "SSLProxyCARevocationPath",
      0, FORM_ROOTED, DECIDES },
    { "LDAPTrustedClientCert LDAPTrustedGlobalCert", 1, FORM_ROOTED, DECIDES },
    /* mod_cache_disk.c, mod_cache.c, mod_dav_fs.c, mod_dav_lock.c, mod_cgi.c,
     * mod_cgid.c, mod_lbmethod_heartbeat.c, mod_heartmonitor.c */
    { "CacheRoot CacheLockPath DavLockDB DavGenericLockDB ScriptLog "
      "HeartbeatStorage",
      0, FORM_ROOTED, WRITES },
    /* mod_md_config.c, mod_fcgid, whose manager is jailed */
    { "MDCACertificateFile", 0, FORM_ROOTED, 0 },
    { "FcgidWrapper", 0, FORM_COMMAND, EXECUTES },
    { "FcgidIPCDir", 0, FORM_ROOTED, WRITES },
    { "MDStoreDir WSGIPythonHome", 0, FORM_ROOTED, 0 },
    { "WSGIPythonPath", EACH, FORM_LIST, 0 },
    { "SVNPath SVNParentPath", 0, FORM_ROOTED, WRITES | BELOW | SPECIAL },
    { "WSGISocketPrefix", 0, FORM_ROOTED, BACKEND },
    /* providers of mod_socache; mod_dbd.c */
    { "SSLSessionCache SSLStaplingCache AuthnCacheSOCache CacheSocache", 0,
      FORM_TYPED, WRITES },
    { "DBDParams", 0, FORM_VALUE, BACKEND | QUERIED },
    /* mod_proxy.c, core.c, mod_mime.c */
    { "ProxyPass ProxyPassMatch BalancerMember ProxySet <Proxy", EACH,
      FORM_SOCKET, BACKEND },
    { "SetHandler", 0, FORM_SOCKET, BACKEND },
    { "ProxyRemote SSLStaplingForceURL SSLOCSPDefaultResponder", EACH,
      FORM_NONE, BACKEND },
    /* mod_authnz_ldap.c: without it "Require not ldap-group" denies nobody */
    { "AuthLDAPURL", EACH, FORM_NONE, BACKEND | DECIDES | SPECIAL },
    /* mod_ext_filter.c, mod_lua.c */
    { "ExtFilterDefine", EACH, FORM_VALUE, EXECUTES },
    { "LuaRoot LuaPackagePath LuaPackageCPath LuaHookTranslateName "
      "LuaHookFixups LuaHookMapToStorage LuaHookTypeChecker LuaHookLog "
      "LuaHookPreTranslateName LuaQuickHandler",
      0, FORM_PATH, 0 },
    { "LuaHookAccessChecker LuaHookAuthChecker LuaHookCheckUserID "
      "WSGIAccessScript WSGIAuthUserScript WSGIAuthGroupScript",
      0, FORM_PATH, DECIDES },
    { "LuaMapHandler LuaInputFilter LuaOutputFilter", 1, FORM_PATH, 0 },
    /* mod_security2; PHP's apache2handler SAPI */
    { "SecDataDir SecTmpDir SecUploadDir SecAuditLogStorageDir", 0, FORM_PATH,
      WRITES },
    { "SecRule", 1, FORM_INSPECT, DECIDES | EXECUTES | SPECIAL },
    { "SecHttpBlKey", 0, FORM_NONE, SPECIAL },
    /* mod_authnz_external */
    { "DefineExternalAuth DefineExternalGroup AddExternalAuth "
      "AddExternalGroup",
      LAST, FORM_COMMAND, DECIDES | EXECUTES },
    { "php_value php_admin_value", EACH, FORM_PHP, 0 },
    /* core.c, mod_authz_*.c, mod_access_compat.c, mod_setenvif.c */
    { "<Directory <DirectoryMatch", LAST, FORM_SECTION, SECTION },
    { "Options", 0, FORM_NONE, EXECUTES },
    { "Require <AuthzProviderAlias Allow Deny SetEnvIf SetEnvIfNoCase", 0,
      FORM_NONE, DECIDES | NAMES },
    { "HostnameLookups SSLUseStapling SSLOCSPEnable ProxyRequests", 0,
      FORM_NONE, NAMES },
    /* mod_log_config.c, core.c, mod_log_forensic.c */
    { "ErrorLog CustomLog TransferLog GlobalLog ForensicLog", 0, FORM_NONE,
      RUNS },
    { "RewriteOptions WSGIDaemonProcess", 0, FORM_NONE, SPECIAL },
    { "ChrootBind", EACH, FORM_ROOTED, PLANS },
    { "AccessFileName", EACH, FORM_NONE, PLANS | SPECIAL },
    { .names = NULL }
};

/* The rows by directive name. With many virtual hosts, a start looks up half a
 * million directives: a slot is chosen by first letter and length, so hardly
 * any names are compared. */
#define ROW_SLOTS 1024

typedef struct chroot_name {
    const char *name;
    const chroot_directive *row;
    struct chroot_name *next;
} chroot_name;

static unsigned row_slot(const char *name)
{
    return ((unsigned char)name[0] % 32 + 32 * strlen(name)) % ROW_SLOTS;
}

static chroot_name **rows_make(apr_pool_t *p)
{
    chroot_name **slots = apr_pcalloc(p, ROW_SLOTS * sizeof(chroot_name *));
    chroot_name **slot;
    const chroot_directive *row;
    chroot_name *entry;
    char *name, *next;

    for (row = directives; row->names != NULL; row++) {
        for (name = apr_strtok(apr_pstrdup(p, row->names), " ", &next);
             name != NULL; name = apr_strtok(NULL, " ", &next)) {
            slot = &slots[row_slot(name)];
            entry = apr_palloc(p, sizeof(*entry));
            entry->name = name;
            entry->row = row;
            entry->next = *slot;
            *slot = entry;
        }
    }
    return slots;
}

/* The row of a directive, or NULL. */
static const chroot_directive *row_of(chroot_name *const *rows,
                                      const char *directive)
{
    const chroot_name *entry = rows[row_slot(directive)];

    while (entry != NULL && strcasecmp(entry->name, directive) != 0) {
        entry = entry->next;
    }
    return entry != NULL ? entry->row : NULL;
}

/* Splits a directive's arguments into words, with NULL at the end; sets *count.
 * Arguments without escapes or single quotes are split faster than httpd does
 * it, because there may be very many. */
static char **words_of(apr_pool_t *p, const char *args, int *count)
{
    /* each word but the last takes two characters */
    char **words = apr_palloc(p, (strlen(args) / 2 + 2) * sizeof(char *));
    int plain = strpbrk(args, "\\'\t\v\f\r\n") == NULL, quoted, n = 0;
    char *rest;

    while (!plain && *args != '\0') {
        words[n++] = ap_getword_conf(p, &args);
    }
    for (rest = apr_pstrdup(p, args); *rest != '\0';
         rest += strspn(rest, " ")) {
        quoted = *rest == '"';
        rest += quoted;
        words[n++] = rest;
        rest += strcspn(rest, quoted ? "\"" : " ");
        if (*rest != '\0') {
            *rest++ = '\0';
        }
    }
    words[n] = NULL;
    *count = n;
    return words;
}

/* How serious it is when children cannot use what a row names. */
static chroot_level row_level(const chroot_directive *row)
{
    return row->does & (DECIDES | QUERIED) ? FINDING_ERROR : FINDING_WARNING;
}

/* Whether a row is about word number n of count. */
static int row_wants(const chroot_directive *row, int n, int count)
{
    return row->word == EACH || row->word == n
           || (row->word == LAST && n == count - 1);
}

/* PHP's settings that name paths or lists of them (main.c, session.c, mysqli.c,
 * openssl.c), how children use them, and for what. */
static const struct {
    const char *name;
    int mode;
    const char *need;
} php_settings[] = {
    { "auto_prepend_file", 0, "PHP (auto_prepend_file)" },
    { "auto_append_file", 0, "PHP (auto_append_file)" },
    { "include_path", 0, "PHP (include_path)" },
    { "open_basedir", 0, "PHP (open_basedir)" },
    { "curl.cainfo", 0, "PHP (certificates of CAs)" },
    { "openssl.cafile", 0, "PHP (certificates of CAs)" },
    { "openssl.capath", 0, "PHP (certificates of CAs)" },
    { "mysqli.default_socket", 0, "PHP (databases)" },
    { "pdo_mysql.default_socket", 0, "PHP (databases)" },
    { "session.save_path", W_OK, "PHP (sessions)" },
    { "upload_tmp_dir", W_OK, "PHP (uploads)" },
    { "sys_temp_dir", W_OK, "PHP (temporary files)" },
    { "error_log", W_OK, "PHP (error_log)" },
};
#define PHP_SETTINGS ((int)(sizeof(php_settings) / sizeof(php_settings[0])))

/* The index of a PHP setting that names paths, or -1. */
static int php_setting(const char *name)
{
    int i = PHP_SETTINGS;

    while (--i >= 0 && strcasecmp(name, php_settings[i].name) != 0) {
    }
    return i;
}

/* Whether a RewriteRule has one of these flags (mod_rewrite.c,
 * cmd_rewriterule_setflag). */
static int rule_has(char **words, const char *const *names)
{
    const char *flag = words[0] != NULL && words[1] != NULL && words[2] != NULL
                           ? words[2]
                           : "";
    size_t length, i;

    for (; *flag != '\0'; flag += length) {
        flag += strspn(flag, "[], \t");
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

/* Whether the pattern of a RewriteCond, which may be NULL or begin with "!",
 * tests a file (mod_rewrite.c, cmd_rewritecond). */
static int is_file_test(const char *pattern)
{
    if (pattern == NULL) {
        return 0;
    }
    pattern += *pattern == '!';
    return pattern[0] == '-' && pattern[1] != '\0'
           && strchr("defslLhxF", pattern[1]) != NULL && pattern[2] == '\0';
}

/* The file of a RewriteMap or a cache, or ""; a dbm file with its suffix. */
static const char *word_typed(apr_pool_t *p, const char *word)
{
    const char *colon = strchr(word, ':'), *name, *unused;

    if (colon == NULL) {
        return word;
    }
    if (strncasecmp(word, "txt:", 4) == 0
        || strncasecmp(word, "rnd:", 4) == 0) {
        return colon + 1;
    }
    if (strncasecmp(word, "dbm", 3) != 0) {
        return "";
    }
    return apr_dbm_get_usednames_ex(
               p,
               word[3] == '=' ? apr_pstrmemdup(p, word + 4, colon - word - 4)
                              : "default",
               colon + 1, &name, &unused)
                   == APR_SUCCESS
               ? name
               : colon + 1;
}

/* Returns the file that a SecRule's operator reads for each request
 * (mod_security's re_operators.c), or "". Lua scripts are loaded at start. */
static const char *word_inspected(const char *word)
{
    static const char *const operators[] = { "@inspectFile", "@validateSchema",
                                             "@validateDTD" };
    const char *path = NULL;
    size_t length, i;

    for (i = 0; path == NULL && i < 3; i++) {
        path = strcasestr(word, operators[i]);
    }
    path = path != NULL ? path + strcspn(path, " \t") : "";
    path += strspn(path, " \t");
    length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".lua") == 0 ? "" : path;
}

/* Where a path begins in a word; *end: the characters that may end it. */
static const char *word_part(apr_pool_t *p, chroot_form form, const char *word,
                             const char **end)
{
    const char *at;

    *end = form == FORM_SOCKET    ? "|"
           : form == FORM_VALUE   ? " ,"
           : form == FORM_COMMAND ? " "
                                  : "";
    switch (form) {
    case FORM_TYPED:
        return word_typed(p, word);
    case FORM_SOCKET:
        at = strstr(word, "unix:");
        return at != NULL ? at + strlen("unix:") : "";
    case FORM_VALUE:
        at = strstr(word, "=/");
        at = at != NULL ? at : strstr(word, "=\"/");
        return at != NULL ? strchr(at, '/') : word;
    case FORM_INSPECT:
        return word_inspected(word);
    default:
        return word;
    }
}

/* Returns the path in word number n of a directive, as far as it is literal,
 * absolute and canonical, or NULL. Sets *rest to what follows, which depends on
 * the request. */
static const char *word_path(apr_pool_t *p, const chroot_directive *row,
                             char **words, int n, const char **rest)
{
    static const char *const urls[] = { "R", "redirect", "PT", "passthrough",
                                        "P", "proxy",    NULL };
    const char *path, *end;
    size_t length, all;

    if (row->form == FORM_NONE
        || (row->form == FORM_PHP && php_setting(words[0]) == -1)
        || (row->form == FORM_TARGET && rule_has(words, urls))
        || (row->form == FORM_TESTED && !is_file_test(words[n + 1]))) {
        return NULL;
    }
    path = word_part(p, row->form, words[n], &end);
    length = all = strcspn(path, end);
    if (row->does & (MAPS | DECIDES)) {
        length = strcspn(path, row->form == FORM_TARGET ? "$%" : "$%*");
        length = length < all ? length : all; /* the rest is not literal */
    }
    while (length < all && length > 0 && path[length - 1] != '/') {
        length--;
    }
    *rest = length < all ? apr_pstrmemdup(p, path + length, all - length) : "";
    path = path[length] != '\0' ? apr_pstrmemdup(p, path, length) : path;
    if (row->form == FORM_ROOTED || row->form == FORM_TYPED
        || row->form == FORM_INSPECT) {
        path = *path == '/'    ? path
               : *path != '\0' ? ap_server_root_relative(p, path)
               : all > 0 && (row->does & MAPS) ? "/" /* anywhere */
                                               : NULL;
    }
    return path != NULL && *path == '/'
               ? path_trimmed(p, path_canonical(p, path))
               : NULL;
}

/* Returns the path that children write to: in a view, for a file, its
 * directory, because they create the file there. */
static const char *word_written(apr_pool_t *p, const char *path)
{
    struct stat st;

    return gen.mount && (stat(path, &st) == -1 || !S_ISDIR(st.st_mode))
               ? path_parent(p, path)
               : path;
}

/* ------------------------------------------------------------------------
 * The configuration's paths
 */

/* Whether another path is to be noted: one that decides always is. */
static int paths_wanted(chroot_level level)
{
    return gen.paths != NULL
           && (gen.dump || level == FINDING_ERROR
               || gen.paths->nelts < LOOK_PATHS);
}

/* Stands in for the note of a path that is not noted */
static chroot_path spare;

/* Notes a path if that is wanted. Returns the note, which has a copy of the
 * path, or the spare one. */
static chroot_path *path_note(const ap_directive_t *node, const char *path,
                              chroot_level level)
{
    chroot_path *note = &spare;

    if (paths_wanted(level)) {
        note = apr_array_push(gen.paths);
    }
    memset(note, 0, sizeof(*note));
    if (note != &spare) {
        note->node = node;
        note->path = apr_pstrdup(gen.paths->pool, path);
        note->rest = "";
        note->level = level;
    }
    return note;
}

/* Notes, once, that a directive, or a loaded module, needs a file or a
 * directory of this name in the jail. Returns the note, or the spare one. */
static chroot_path *need_add(const ap_directive_t *node, const char *path,
                             int mode, chroot_level level)
{
    chroot_path *note;
    const char *key;

    if (gen.paths == NULL) {
        return &spare;
    }
    if (gen.mount && node != gen.node && strcmp(path, RESOLVER) == 0) {
        (void)need_add(node, HOSTS, mode, level);
    }
    key = apr_psprintf(gen.paths->pool, "%d%d%s", (int)level, mode, path);
    if (apr_hash_get(gen.needs, key, APR_HASH_KEY_STRING) != NULL) {
        return &spare;
    }
    apr_hash_set(gen.needs, key, APR_HASH_KEY_STRING, key);
    note = path_note(node, path, level);
    note->mode = mode;
    note->need = strcmp(path, RESOLVER) == 0 || strcmp(path, HOSTS) == 0
                     ? "names of hosts"
                     : "names of users";
    return note;
}

/* What these modules need though no directive names it: patterns of glob(7),
 * with blanks between them. Only the report mentions it, except for time zones,
 * without which PHP crashes. */
static const struct {
    const char *modules;
    const char *paths;
    int mode;
    chroot_level level;
    unsigned does;
    const char *need;
} module_needs[] = {
    { "mod_php.c", TZDIR, X_OK, FINDING_WARNING, 0, "PHP (time zones)" },
    { "mod_php.c mod_xml2enc.c mod_charset_lite.c",
      "/usr/lib/*/gconv /usr/lib64/gconv", X_OK, FINDING_NOTE, 0,
      "iconv (character sets)" },
    { "mod_php.c mod_wsgi.c mod_perl.c mod_md.c", RESOLVER " " HOSTS, R_OK,
      FINDING_NOTE, 0, "applications (names of hosts)" },
    { "mod_php.c mod_wsgi.c mod_perl.c mod_md.c",
      "/etc/ssl/certs /usr/lib/ssl /usr/share/ca-certificates /etc/pki/tls",
      X_OK, FINDING_NOTE, 0, "applications (certificates of CAs)" },
    { "mod_php.c mod_wsgi.c mod_perl.c mod_fcgid.c", "/tmp", W_OK, FINDING_NOTE,
      0, "applications (temporary files, uploads)" },
    { "mod_wsgi.c", "/usr/lib/python3* /usr/lib/*-linux-gnu /usr/lib64 " TZDIR,
      X_OK, FINDING_NOTE, 0, "Python (what is imported later)" },
    { "mod_perl.c", "/etc/perl /usr/share/perl* /usr/lib/*/perl*", X_OK,
      FINDING_NOTE, 0, "Perl (what is required later)" },
    { "mod_cgi.c mod_cgid.c mod_fcgid.c mod_ext_filter.c",
      "/usr /bin /lib /lib64 /dev/null /dev/urandom /etc/alternatives "
      "/etc/passwd /etc/group",
      R_OK, FINDING_NOTE, EXECUTES, "programs (interpreters and libraries)" },
};

/* Notes what loaded modules need; what is only a note, for the report alone. */
static void needs_note(apr_pool_t *p)
{
    char *words, *word, *next;
    chroot_path *note;
    glob_t found;
    size_t i, j;
    int wanted;

    for (i = 0; i < sizeof(module_needs) / sizeof(module_needs[0]); i++) {
        wanted = 0;
        words = apr_pstrdup(p, module_needs[i].modules);
        for (word = apr_strtok(words, " ", &next); word != NULL;
             word = apr_strtok(NULL, " ", &next)) {
            wanted |= ap_find_linked_module(word) != NULL;
        }
        words = apr_pstrdup(p, module_needs[i].paths);
        word = wanted && (gen.dump || module_needs[i].level != FINDING_NOTE)
                   ? apr_strtok(words, " ", &next)
                   : NULL;
        for (; word != NULL; word = apr_strtok(NULL, " ", &next)) {
            if (glob(word, 0, NULL, &found) != 0) {
                continue;
            }
            for (j = 0; j < found.gl_pathc; j++) {
                note = need_add(gen.node, found.gl_pathv[j],
                                module_needs[i].mode, module_needs[i].level);
                note->need = module_needs[i].need;
                note->does = module_needs[i].does;
            }
            globfree(&found);
        }
    }
}

/* A path for the shell, quoted if it contains anything but letters, digits and
 * "_./+-". */
static const char *shell_word(apr_pool_t *p, const char *path)
{
    const char *out = "'", *quote;

    if (path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "0123456789_./+-")]
        == '\0') {
        return path;
    }
    while ((quote = strchr(path, '\'')) != NULL) {
        out = apr_psprintf(p, "%s%.*s'\\''", out, (int)(quote - path), path);
        path = quote + 1;
    }
    return apr_pstrcat(p, out, path, "'", NULL);
}

/* Without a view: how to let children find a path. */
static const char *copy_cure(apr_pool_t *p, const char *path)
{
    return apr_pstrcat(p, "copy it to ",
                       shell_word(p, apr_pstrcat(p, gen.jail, path, NULL)),
                       NULL);
}

/* Whether User or Group of the configuration, or everybody, may write. */
static int user_may_write(const struct stat *st)
{
    return (st->st_uid == ap_unixd_config.user_id && (st->st_mode & S_IWUSR))
           || (st->st_gid == ap_unixd_config.group_id
               && (st->st_mode & S_IWGRP))
           || (st->st_mode & S_IWOTH);
}

/* Returns what ChrootBind should name to let children see a path: for a file
 * its directory, because children would not see a file that replaces the
 * mounted one. In a top-level directory, such as /etc, it is the file itself,
 * or NULL if this decides about access, because the old one would stay in
 * force. NULL, too, for a directory that User must write to and cannot. */
static const char *bind_meant(apr_pool_t *p, const chroot_path *path)
{
    const char *dir = path_parent(p, path->path);
    struct stat st;

    if (stat(path->path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return path->mode != W_OK || path->need != NULL || (path->does & BELOW)
                       || user_may_write(&st)
                   ? path->path
                   : NULL;
    }
    return strchr(dir + 1, '/') != NULL ? dir
           : path->does & DECIDES       ? NULL
                                        : path->path;
}

/* How to let children find a path. A copy is no use if it is written to, or if
 * a server makes it, as a socket; what decides about access may be a secret. */
static const char *path_cure(apr_pool_t *p, const chroot_path *path)
{
    const char *bind;
    struct stat st;

    if (gen.mount) {
        bind = bind_meant(p, path);
        return bind == NULL
                   ? "move it to a directory of its own, for ChrootBind"
                   : apr_psprintf(p, "write \"ChrootBind %s%s\"",
                                  path->mode == W_OK ? "rw " : "", bind);
    }
    if (path->mode == W_OK) {
        return apr_psprintf(p, "name a directory there, owner %s",
                            ap_unixd_config.user_name);
    }
    if (path_below(gen.jail, path->path) != NULL) {
        return "name what is in it";
    }
    if ((path->does & BACKEND) && !(path->does & MAPS)
        && stat(path->path, &st) == 0
        && (S_ISSOCK(st.st_mode) || S_ISDIR(st.st_mode))) {
        return "have its server make it there and write that path";
    }
    return apr_pstrcat(p, copy_cure(p, path->path),
                       path->need != NULL     ? ""
                       : path->does & DECIDES ? ", unless that has a URL"
                       : gen.fix_root         ? " and write that path"
                                              : "",
                       NULL);
}

/* Notes the look-up of the host that a text begins with, if it is a name. */
static void need_host(const ap_directive_t *node, const char *host,
                      chroot_level level)
{
    size_t length = strcspn(host, ":/?#, ");

    if (*host != '[' && strspn(host, "0123456789.") < length) {
        (void)need_add(node,
                       length == 9 && strncasecmp(host, "localhost", 9) == 0
                           ? HOSTS
                           : RESOLVER,
                       R_OK, level);
    }
}

/* Notes what a directive needs whose words may be URLs of back ends. */
static void look_backends(const ap_directive_t *node, char **words,
                          chroot_level level)
{
    const char *host;

    for (; *words != NULL; words++) {
        host = strstr(*words, "://");
        if (host != NULL && strstr(*words, "unix:") == NULL
            && strncasecmp(*words, "balancer:", 9) != 0) {
            host += 3;
            do { /* AuthLDAPURL may have several, with blanks between them */
                need_host(node, host, level);
                host += strcspn(host, " /");
            } while (*host++ == ' ');
        }
        host = strstr(*words, "host=");
        if (host != NULL) {
            need_host(node, host + 5, level);
        }
        if (gen.fix_root && strstr(*words, "fcgi://") != NULL) {
            finding_add(node, FINDING_NOTE,
                        "passes inner names on; a FastCGI server that is not "
                        "in the jail finds no file, see CAVEATS.md");
        }
    }
}

/* Words that make a directive look up names of hosts or owners, and the file it
 * needs for that. is_switch: only if the directive does not decide. */
static const struct {
    const char *word, *path;
    int is_switch;
} lookups[] = {
    { "file-owner", "/etc/passwd", 0 },
    { "file-group", "/etc/group", 0 },
    { "unix-group", "/etc/group", 0 },
    { "unix-group", "/etc/passwd", 0 },
    { "unix-file-group", "/etc/group", 0 },
    { "unix-file-group", "/etc/passwd", 0 },
    { "forward-dns", RESOLVER, 0 },
    { "host", RESOLVER, 0 },
    { "Remote_Host", RESOLVER, 0 },
    { "on", RESOLVER, 1 },
    { "yes", RESOLVER, 1 },
    { "double", RESOLVER, 1 },
};

/* Variables of rules and expressions that need a look-up, and in which file */
static const char *const name_variables[][2] = {
    { "SCRIPT_USER", "/etc/passwd" },
    { "SCRIPT_GROUP", "/etc/group" },
    { "REMOTE_HOST", RESOLVER }
};
#define VARIABLES (sizeof(name_variables) / sizeof(name_variables[0]))

/* Whether a word of UserDir begins a list of users, who need not exist. */
static int is_user_list(const char *word)
{
    return word != NULL
           && (strcasecmp(word, "disabled") == 0
               || strcasecmp(word, "enabled") == 0);
}

/* Notes what a directive needs that works with names. Without it no name is
 * found, and what is forbidden to a name is allowed. */
static void look_names(const ap_directive_t *node, char **words,
                       chroot_level level)
{
    int homes = strcasecmp(node->directive, "UserDir") == 0;
    int from = words[0] != NULL && strcasecmp(words[0], "from") == 0;
    char **first = words;
    size_t i;

    if (*words == NULL || strcasecmp(*words, "all") == 0
        || (homes && is_user_list(*words))) {
        return;
    }
    for (; *words != NULL; words++) {
        for (i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
            if (strcasecmp(*words, lookups[i].word) == 0
                && (!lookups[i].is_switch || level == FINDING_WARNING)) {
                (void)need_add(node, lookups[i].path, R_OK, level);
            }
        }
        if (homes && **words != '/' && strchr(*words, ':') == NULL) {
            (void)need_add(node, "/etc/passwd", R_OK, level);
        }
        if (from && words != first && strcasecmp(*words, "all") != 0
            && strpbrk(*words, ":/=") == NULL) {
            need_host(node, *words, level);
        }
    }
}

/* Whether each DocumentRoot of a tree is inside; adds how many to *count. */
static int roots_are_inside(apr_pool_t *p, const ap_directive_t *node,
                            int *count)
{
    const char *root;

    for (; node != NULL; node = node->next) {
        if (strcasecmp(node->directive, "DocumentRoot") == 0) {
            root = node_word(p, node);
            root = root != NULL ? ap_server_root_relative(p, root) : NULL;
            if (root == NULL || path_inside(path_canonical(p, root)) == NULL) {
                return 0;
            }
            ++*count;
        }
        if (node->first_child != NULL
            && !roots_are_inside(p, node->first_child, count)) {
            return 0;
        }
    }
    return 1;
}

/* Whether the DocumentRoot of a directive's virtual host is inside. If it is in
 * none, or that has no DocumentRoot, all others must be inside. */
static int root_is_inside(apr_pool_t *p, const ap_directive_t *node)
{
    int count = 0;

    while (node->parent != NULL) {
        node = node->parent;
    }
    return (roots_are_inside(p, node->first_child, &count) && count > 0)
           || (count == 0 && roots_are_inside(p, ap_conftree, &count)
               && count > 0);
}

/* Whether a RewriteCond tests a file that children see: the name begins with
 * the jail, or with a variable for what is served, and has no "..". */
static int test_is_inside(apr_pool_t *p, const ap_directive_t *node,
                          const char *name)
{
    static const char *const known[] = { "%{REQUEST_FILENAME}",
                                         "%{SCRIPT_FILENAME}",
                                         "%{DOCUMENT_ROOT}",
                                         "%{CONTEXT_DOCUMENT_ROOT}",
                                         "%{LA-U:REQUEST_FILENAME}",
                                         "%{LA-F:REQUEST_FILENAME}",
                                         NULL };
    int i;

    if (strstr(name, "/..") != NULL) {
        return 0;
    }
    for (i = 0; known[i] != NULL; i++) {
        if (strncasecmp(name, known[i], strlen(known[i])) == 0) {
            return strcasestr(known[i], "DOCUMENT_ROOT") == NULL
                   || root_is_inside(p, node);
        }
    }
    if (strncmp(name, gen.jail, gen.length) != 0) {
        return path_below(gen.jail, name) != NULL; /* a directory inside, too */
    }
    name += gen.length;
    return *name == '\0' || *name == '/'
           || strncmp(name, "%{REQUEST_URI}", 14) == 0;
}

/* Notes the programs that a directive runs outside the jail, on purpose. */
static void look_pipes(const ap_directive_t *node, char **words)
{
    for (; *words != NULL; words++) {
        if (**words == '|' || strncasecmp(*words, "prg:", 4) == 0) {
            finding_add(node, FINDING_NOTE, "runs \"%s\", which is not jailed",
                        *words + (**words == '|' ? 1 : 4));
        }
    }
}

/* Warns of mod_wsgi's daemons. With FixRoot on, their chroot= needs outer
 * names, and gets inner ones. */
static void look_daemons(apr_pool_t *p, const ap_directive_t *node)
{
    if (strstr(node->args, "chroot=") != NULL) {
        if (gen.fix_root) {
            finding_add(node, FINDING_WARNING,
                        "has a chroot= of its own, and finds no script; use "
                        "embedded mode");
        }
        return;
    }
    finding_add(
        node, FINDING_WARNING, "%s",
        gen.fix_root || gen.mount
            ? "makes processes that are not jailed; use embedded mode"
            : apr_psprintf(
                p, "makes processes that are not jailed; add chroot=%s home=/",
                gen.jail));
}

/* With FixRoot on: what is wrong with a path in a directive that is not below
 * the jail, or NULL. */
static const char *outside_error(apr_pool_t *p, const chroot_directive *row,
                                 const char *path)
{
    const char *one = path_through_link(p, path);

    if (one != NULL) {
        return apr_psprintf(p,
                            "names \"%s\", which gets to the jail through a "
                            "symbolic link; write \"%s\"",
                            path, one);
    }
    if ((row->does & DECIDES) && row->form == FORM_TESTED) {
        return apr_psprintf(
            p,
            "tests the file \"%s\", and children see those in the jail %s only",
            path, gen.jail);
    }
    if (row->does & DECIDES) {
        return apr_psprintf(p,
                            "decides by \"%s\", which is not in the jail; %s, "
                            "unless that has a URL, and write that path",
                            path, copy_cure(p, path));
    }
    return NULL;
}

/* Whether another host follows the socket of a database, so that libpq tries
 * that next: "host=/run/postgresql,127.0.0.1". */
static int has_second_host(const char *word, const char *path)
{
    const char *next = strstr(word, path);

    next = next != NULL ? next + strlen(path) : "";
    return *next == ',' && next[1 + strcspn(next + 1, "=, ")] != '=';
}

/* Whether the jail has a symbolic link at the jail's own path. */
static int jail_has_link(apr_pool_t *p)
{
    struct stat st;

    return lstat(apr_pstrcat(p, gen.jail, gen.jail, NULL), &st) == 0
           && S_ISLNK(st.st_mode);
}

/* With FixRoot off, where paths are inner ones: finds URLs that are mapped to a
 * directory above the self-link, which would give the whole jail URLs. */
static void look_exposed(apr_pool_t *p, const ap_directive_t *node,
                         const char *path)
{
    if (!gen.fix_root && !gen.mount && gen.jail[1] != '\0'
        && path_below(gen.jail, path) && jail_has_link(p)) {
        finding_add(
            node, /* at a restart somebody in the jail may have made it */
            is_restart() ? FINDING_WARNING : FINDING_ERROR,
            "maps URLs to \"%s\", where the link %s%s would give the whole "
            "jail URLs; remove it, or set ChrootFixRoot On",
            path, gen.jail, gen.jail);
    }
}

/* The mapping that leads to an application, and how many entries of it may
 * still be looked at */
static struct {
    const ap_directive_t *node;
    int left;
} app;

/* Notes that an application needs a path, cut to its first three components so
 * that the report is short. */
static void app_need(const char *path, const char *need)
{
    const char *end = path;
    int i;

    for (i = 0; i < 3 && *end != '\0'; i++) {
        end += 1 + strcspn(end + 1, "/");
    }
    if (strncmp(path, "/usr/share/doc/", 15) != 0) {
        path = apr_pstrmemdup(gen.paths->pool, path, end - path);
    }
    if (path_inside(path) == NULL && path_below(gen.jail, path) == NULL) {
        need_add(app.node, path, strncmp(path, "/var/", 5) == 0 ? W_OK : 0,
                 FINDING_NOTE)
            ->need = need;
    }
}

/* Whether nobody but root could have chosen what is at a path. The path may be
 * a symbolic link; if it leads through one, the answer is no. */
static int is_roots(apr_pool_t *p, const char *path)
{
    const char *dir = path_parent(p, path);
    struct stat st;

    return lstat(path, &st) == 0
           && (path[1] == '\0'
               || (lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0
                   && !(st.st_mode & (S_IWGRP | S_IWOTH)) && is_roots(p, dir)));
}

/* Notes all that a link leads to, if root has chosen each step. Returns whether
 * root has. */
static int link_needs(apr_pool_t *p, const char *path, int steps)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n == -1) {
        return errno == EINVAL; /* it is no link */
    }
    target[n] = '\0';
    path = path_canonical(
        p, *target == '/' ? target
                          : ap_make_full_path(p, path_parent(p, path), target));
    if (steps == 0 || !is_roots(p, path) || !link_needs(p, path, steps - 1)) {
        return 0;
    }
    app_need(path, "symbolic links");
    return 1;
}

/* For nftw(3): looks at an entry of an application's directory. */
static int app_link(const char *path, const struct stat *st, int type,
                    struct FTW *unused)
{
    if (type == FTW_SL && st->st_uid == 0) {
        (void)link_needs(gen.paths->pool, path, 8);
    }
    return --app.left <= 0;
}

/* Notes what a packaged application, at a path that URLs are mapped to, has
 * elsewhere by the rules of hier(7), or by symbolic links. Looks outside the
 * jail only: root opens nothing in it. */
static void look_app(apr_pool_t *p, const ap_directive_t *node,
                     const char *path)
{
    static const char *const places[][2] = { { "/etc/", "" },
                                             { "/etc/", ".conf" },
                                             { "/etc/", "rc" },
                                             { "/var/lib/", "" },
                                             { "/var/cache/", "" },
                                             { "/usr/share/", "" },
                                             { "/usr/share/javascript",
                                               NULL } };
    const char *own = strncmp(path, "/usr/share/", 11) == 0 ? path + 11
                      : strncmp(path, "/usr/lib/", 9) == 0  ? path + 9
                                                            : "";
    const char *name = path_top(p, own);
    size_t i;

    if (path_inside(path) != NULL || path_below(gen.jail, path) != NULL
        || strcmp(name, apr_filepath_name_get(ap_server_root)) == 0) {
        return; /* the latter: httpd's own icons */
    }
    app.node = node;
    app.left = APP_ENTRIES;
    for (i = 0; *name != '\0' && i < sizeof(places) / sizeof(places[0]); i++) {
        own = apr_pstrcat(p, places[i][0], places[i][1] != NULL ? name : NULL,
                          places[i][1], NULL);
        if (access(own, F_OK) == 0) {
            app_need(own, "its files");
        }
    }
    (void)nftw(path, app_link, 16, FTW_PHYS);
}

/* Whether it does no harm, or is reported elsewhere, if children cannot use the
 * path in word number n of a directive, and rest, which follows it. */
static int word_is_harmless(const chroot_directive *row, char **words, int n,
                            const char *path, const char *rest)
{
    return (row->form == FORM_TESTED && !gen.mount)
           || ((row->does & MAPS) && gen.mount) /* view_plan() */
           || (*rest != '\0' && path_below(gen.jail, path) != NULL)
           || (row->form == FORM_SECTION
               && (gen.fix_root || path_inside(path) == NULL))
           || (row->form == FORM_VALUE && has_second_host(words[n], path));
}

/* The fate of a path, as far as it is known without looking. A pattern counts
 * as inside; what a section, or a path with a rest, says of a directory above
 * the jail is true of the jail, too. */
static chroot_fate word_fate(const ap_directive_t *node,
                             const chroot_directive *row, const char *path,
                             const char *rest, int n)
{
    int is_section = row->form == FORM_SECTION;

    if (is_section
        && (apr_fnmatch_test(path) || n > 0
            || strcasecmp(node->directive, "<DirectoryMatch") == 0)) {
        return FATE_INSIDE;
    }
    if (path_inside(path) != NULL || (!gen.fix_root && !gen.mount)) {
        return FATE_UNKNOWN;
    }
    return path_below(gen.jail, path) != NULL && (is_section || *rest != '\0')
               ? FATE_INSIDE
           : gen.fix_root ? FATE_OUTSIDE
                          : FATE_UNKNOWN;
}

/* Warns that a path is not in the view. */
static void view_without(const ap_directive_t *node, const char *path,
                         const char *why)
{
    finding_add(node, FINDING_WARNING,
                "leaves \"%s\" out of what children see: %s", path, why);
}

/* Whether a word of ChrootBind is its mode, and no path. */
static int is_bind_mode(const char *word)
{
    return strcasecmp(word, "rw") == 0 || strcasecmp(word, "ro") == 0;
}

/* Notes what word number n of ChrootBind, AccessFileName or a mapping wants in
 * the view. path is what it names, NULL if it is no path; rest depends on the
 * request. */
static void wish_note(apr_pool_t *p, const ap_directive_t *node,
                      const chroot_directive *row, char **words, int n,
                      const char *path, const char *rest)
{
    int is_bind = (row->does & PLANS) != 0;
    view_wish *wish;

    if (row->form == FORM_NONE) {
        APR_ARRAY_PUSH(gen.accesses, const char *) = apr_pstrdup(
            gen.accesses->pool, words[n]);
        return;
    }
    if (row->form == FORM_TARGET
        && (path == NULL || path[1] == '\0' || !host_has_top(p, path)
            || (node->parent != NULL
                && strcasecmp(node->parent->directive, "<VirtualHost") != 0))) {
        return; /* a URL */
    }
    if (path == NULL && (row->does & NAMES) && strchr(words[n], ':') == NULL
        && !is_user_list(words[0])) {
        path = rest = "/"; /* UserDir: in any user's home */
    }
    if (path != NULL && *rest != '\0' && strchr(path + 1, '/') == NULL
        && path_below(path, gen.jail) == NULL) {
        view_without(
            node, words[n],
            "nearly all of it depends on the request; write ChrootBind "
            "and a directory that contains all such paths");
    }
    else if (path != NULL && (!is_bind || n > 0 || !is_bind_mode(words[0]))) {
        wish = apr_array_push(gen.wishes);
        wish->node = node;
        wish->path = apr_pstrdup(gen.wishes->pool, path);
        wish->rank = is_bind ? RANK_EXPLICIT : RANK_MAPPED;
        wish->writable = is_bind && strcasecmp(words[0], "rw") == 0;
    }
}

/* Where paths are outer ones: notes where in the jail a section's path would be
 * if it is an inner one, forgotten when the others were rewritten, and of no
 * effect. Whether one that the host has was meant is not known. */
static void look_forgotten(apr_pool_t *p, const ap_directive_t *node,
                           const char *path)
{
    struct stat st;

    if ((gen.fix_root || gen.mount) && path_inside(path) == NULL
        && lstat(path, &st) == -1 && errno == ENOENT) {
        path_note(node, apr_pstrcat(p, gen.jail, path, NULL), FINDING_WARNING)
            ->does = INNER;
    }
}

/* Notes word number n of a directive, if it names a path. */
static void look_word(apr_pool_t *p, const ap_directive_t *node,
                      const chroot_directive *row, char **words, int n)
{
    const char *rest = "", *error = NULL;
    const char *path = word_path(p, row, words, n, &rest);
    chroot_path *note;
    int mode = row->form == FORM_PHP && path != NULL
                   ? php_settings[php_setting(words[0])].mode
               : row->does & WRITES ? W_OK
                                    : 0;

    if (gen.mount && (row->does & (MAPS | PLANS))) {
        wish_note(p, node, row, words, n, path, rest);
    }
    if (path == NULL || (row->does & PLANS)) {
        if (row->form == FORM_TESTED && gen.fix_root
            && is_file_test(words[n + 1]) && strcasecmp(words[n], "expr") != 0
            && !test_is_inside(p, node, words[n])) {
            finding_add(node, FINDING_ERROR,
                        "tests the file \"%s\", which may be outside; begin it "
                        "with the jail %s or %%{DOCUMENT_ROOT}",
                        words[n], gen.jail);
        }
        return;
    }
    if (row->does & SECTION) {
        look_forgotten(p, node, path);
        if (gen.fix_root && !gen.dump) {
            return; /* its path is for the report alone */
        }
    }
    if (row->does & MAPS) {
        look_exposed(p, node, path);
        if (gen.mount && gen.dump && *rest == '\0') {
            look_app(p, node, path);
        }
    }
    if (row->form == FORM_TARGET) {
        if (!host_has_top(p, path)) {
            return; /* a URL */
        }
        apr_hash_set(gen.targets,
                     path_top(apr_hash_pool_get(gen.targets), path),
                     APR_HASH_KEY_STRING, gen.targets);
    }
    if (gen.fix_root && path_inside(path) == NULL && row->form != FORM_SECTION
        && (row->form != FORM_TESTED || !test_is_inside(p, node, words[n]))) {
        error = outside_error(p, row, path);
    }
    if (error != NULL) {
        finding_add(node, FINDING_ERROR, "%s", error);
    }
    note = path_note(node, mode == W_OK ? word_written(p, path) : path,
                     error != NULL
                             || word_is_harmless(row, words, n, path, rest)
                         ? FINDING_NOTE
                         : row_level(row));
    note->rest = *rest != '\0' ? apr_pstrdup(gen.findings->pool, rest) : "";
    note->mode = mode;
    note->does = row->does;
    note->fate = word_fate(node, row, path, rest, n);
}

/* Options ExecCGI: looks at its section's directory, which has programs. */
static void look_options(apr_pool_t *p, const ap_directive_t *node,
                         char **words)
{
    static const chroot_directive programs = { "", 0, FORM_SECTION, EXECUTES };
    const char *args = node->parent != NULL
                               && strcasecmp(node->parent->directive,
                                             "<Directory")
                                      == 0
                           ? node->parent->args
                           : "";
    char *dir[] = { NULL, NULL };

    for (; *args != '\0' && *words != NULL; words++) {
        if (strcasecmp(*words + (**words == '+'), "ExecCGI") == 0) {
            args = ap_getword(p, &args, '>');
            dir[0] = ap_getword_conf(p, &args);
            look_word(p, node, &programs, dir, 0);
            return;
        }
    }
}

/* Finds TLS to a directory server: libldap reads the certificates of CAs at
 * each connection, from where its own configuration says, unless httpd's does.
 */
static void look_ldap(const ap_directive_t *node)
{
    if (node_last("LDAPTrustedGlobalCert") == NULL
        && node_last("LDAPVerifyServerCert") == NULL
        && (node_last("LDAPTrustedMode") != NULL
            || strcasestr(node->args, "ldaps:") != NULL
            || strcasestr(node->args, " SSL") != NULL
            || strcasestr(node->args, "TLS") != NULL)) {
        finding_add(node, FINDING_ERROR,
                    "decides by a directory server, and children may not see "
                    "the certificates of CAs that TLS needs; write "
                    "LDAPTrustedGlobalCert");
    }
}

/* Looks at what is special about some directives, besides their paths. */
static void node_special(apr_pool_t *p, const ap_directive_t *node,
                         const chroot_directive *row, char **words)
{
    static const char *const unsafe[] = { "UnsafePrefixStat", NULL };
    const char *name = node->directive;
    /* in a SecRule, variables need no %{} */
    int has_variables = row->form == FORM_INSPECT
                        || strstr(node->args, "%{") != NULL;
    size_t i;

    for (i = 0; has_variables && i < VARIABLES; i++) {
        if (strcasestr(node->args, name_variables[i][0]) != NULL) {
            (void)need_add(node, name_variables[i][1], R_OK, FINDING_ERROR);
        }
    }
    gen.rules |= row->form == FORM_TARGET;
    gen.dbd_decides |= row->form == FORM_TYPED
                       && strcasestr(node->args, "dbd:") != NULL;
    if (row->form == FORM_TARGET) {
        gen.any_target |= rule_has(words, unsafe);
    }
    else if (strcasecmp(name, "RewriteOptions") == 0) {
        gen.any_target |= strcasestr(node->args, unsafe[0]) != NULL;
    }
    else if (strcasecmp(name, "AccessFileName") == 0
             && strchr(node->args, '/') != NULL) {
        finding_add(node, FINDING_ERROR,
                    "names a path, and has to be a file's name");
    }
    else if (strcasecmp(name, "AuthLDAPURL") == 0) {
        look_ldap(node);
    }
    else if (strcasecmp(name, "WSGIDaemonProcess") == 0) {
        look_daemons(p, node);
    }
    else if (strcasecmp(name, "SecHttpBlKey") == 0
             || (row->form == FORM_INSPECT
                 && strcasestr(node->args, "@rbl ") != NULL
                 && strcasestr(node->args, "httpbl.org") == NULL)) {
        (void)need_add(node, RESOLVER, R_OK, FINDING_ERROR); /* block lists */
    }
    else if (row->does & BELOW) {
        finding_add(node, FINDING_NOTE,
                    "runs hooks of repositories in the jail, which need their "
                    "interpreter, its libraries, and /dev/null there");
    }
}

/* Looks at a directive that has a row. */
static void node_look(apr_pool_t *p, const ap_directive_t *node,
                      const chroot_directive *row)
{
    static const char *const proxied[] = { "P", "proxy", NULL };
    const char *args = node->args, *tail;
    chroot_level level = row_level(row);
    char **words, *copy;
    int count, i;

    if (row->form == FORM_SECTION && !paths_wanted(FINDING_NOTE)) {
        return;
    }
    tail = strrchr(args, '>');
    if (node->directive[0] == '<' && tail != NULL) {
        args = apr_pstrmemdup(p, args, tail - args);
    }
    if (row->form == FORM_PHP || row->form == FORM_LIST) {
        args = copy = apr_pstrdup(p, args);
        while ((copy = strpbrk(copy, ":;\"'")) != NULL) {
            *copy = ' ';
        }
    }
    words = words_of(p, args, &count);
    for (i = 0; i < count; i++) {
        if (row_wants(row, i, count)) {
            look_word(p, node, row, words, i);
        }
    }
    if ((row->does & BACKEND)
        && (row->form != FORM_TARGET || rule_has(words, proxied))) {
        look_backends(node, words, level);
    }
    if (row->does & NAMES) {
        look_names(node, words, level);
    }
    if (row->does & RUNS) {
        look_pipes(node, words);
    }
    if (row->form == FORM_NONE && (row->does & EXECUTES)) {
        look_options(p, node, words);
    }
    if (row->does & SPECIAL) {
        node_special(p, node, row, words);
    }
}

/* Looks at all directives; clears p after each top-level one. */
static void tree_look(apr_pool_t *p, chroot_name *const *rows,
                      const ap_directive_t *node)
{
    const chroot_directive *row;

    for (; node != NULL; node = node->next) {
        row = row_of(rows, node->directive);
        if (row != NULL) {
            node_look(p, node, row);
        }
        if (node->first_child != NULL) {
            tree_look(p, rows, node->first_child);
        }
        if (node->parent == NULL) {
            apr_pool_clear(p);
        }
    }
}

/* The names in the host's root directory. */
static apr_hash_t *host_top(apr_pool_t *p)
{
    apr_hash_t *top = apr_hash_make(p);
    DIR *dir = opendir("/");
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        apr_hash_set(top, apr_pstrdup(p, entry->d_name), APR_HASH_KEY_STRING,
                     top);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return top;
}

/* Adds to httpd's own cache of .htaccess files that there is none in the
 * directories above the jail, for sections with this AllowOverride. */
static void above_note(apr_pool_t *p, int override)
{
    const struct htaccess_result *known = gen.above;
    struct htaccess_result *none;
    const char *end;

    while (known != NULL && known->override != override) {
        known = known->next;
    }
    if (known != NULL || override == OR_NONE || (override & OR_UNSET)) {
        return;
    }
    for (end = gen.jail; end != NULL; end = strchr(end + 1, '/')) {
        none = apr_pcalloc(p, sizeof(*none));
        none->dir = apr_pstrmemdup(p, gen.jail, end - gen.jail + 1);
        none->override = override;
        none->next = gen.above;
        gen.above = none;
    }
}

/* Notes the AccessFileName files of a server in the directories above the jail:
 * children cannot read them. */
static void htaccess_note(apr_pool_t *p, const char *names)
{
    const char *end, *path, *name;
    struct stat st;

    while (names != NULL && *names != '\0') {
        name = ap_getword_conf(p, &names);
        for (end = gen.jail; end != NULL; end = strchr(end + 1, '/')) {
            path = apr_psprintf(p, "%.*s/%s", (int)(end - gen.jail), gen.jail,
                                name);
            if (lstat(path, &st) == 0) {
                apr_hash_set(gen.htaccess, path, APR_HASH_KEY_STRING, path);
            }
        }
    }
}

/* Notes what servers say about directories above the jail. */
static void servers_note(apr_pool_t *p, server_rec *s)
{
    const core_server_config *conf;
    const core_dir_config *dir;
    const char *noted = NULL;
    int i;

    for (; s != NULL; s = s->next) {
        conf = ap_get_core_module_config(s->module_config);
        if (conf->access_name != noted) { /* most have the main server's */
            noted = conf->access_name;
            htaccess_note(p, noted);
        }
        for (i = 0; i < conf->sec_dir->nelts; i++) {
            dir = ap_get_core_module_config(
                APR_ARRAY_IDX(conf->sec_dir, i, ap_conf_vector_t *));
            if (path_inside(dir->d) == NULL) {
                above_note(p, dir->override);
            }
        }
    }
    if (apr_hash_count(gen.htaccess) > 0) {
        gen.above = NULL;
    }
}

/* mod_cgid's daemon binds its socket outside, and children connect to the same
 * name inside: if that is another place, they try in vain for half a minute
 * (mod_cgid.c, connect_to_daemon). */
static void look_cgid(apr_pool_t *p)
{
    const ap_directive_t *node = node_last("ScriptSock");
    const char *word = node != NULL ? node_word(p, node) : NULL;
    const char *path, *inner;
    struct stat a, b;

    if (ap_find_linked_module("mod_cgid.c") == NULL
        || ap_find_linked_module("mod_cgi.c") != NULL) {
        return;
    }
    path = ap_runtime_dir_relative(p, word != NULL ? word : "cgisock");
    if (path == NULL) {
        return;
    }
    path = path_parent(p, path);
    inner = apr_pstrcat(p, gen.jail, path, NULL);
    if ((path_inside(path) != NULL && (gen.fix_root || jail_has_link(p)))
        || (stat(path, &a) == 0 && lstat(inner, &b) == 0 && is_same(&a, &b))) {
        return;
    }
    gen.cgid_deaf = 1;
    finding_add(word != NULL ? node : gen.node, FINDING_WARNING,
                "children cannot reach mod_cgid's socket in %s, its requests "
                "are answered with 503: write \"ScriptSock %s/run/cgisock\"%s; "
                "or use mod_cgi",
                path, gen.jail, gen.fix_root ? "" : " and ChrootFixRoot On");
}

/* ------------------------------------------------------------------------
 * The view: with ChrootFixRoot Mount, children see a file system of their own
 * that contains ChrootDir, what URLs are mapped to and what ChrootBind names,
 * each under its own name. With On and Off, the jail is all that a mount
 * namespace contains, if the kernel allows that. Not even root climbs out of
 * either.
 */

/* What is at a path of the view: a mount, a symbolic link, or a directory that
 * leads to one of these. */
typedef struct {
    const char *path;   /* outside, and in the view */
    const char *target; /* of a symbolic link */
    const char *writer; /* the last directory above it that User may write to */
    const ap_directive_t *node; /* the directive that names it */
    struct stat st;             /* as it is outside */
    int bind;                   /* it is a mount */
    int writable;
    view_rank rank;
    int below; /* a mount above it provides the place */
} view_step;

/* How many mapped paths outside ChrootDir are mounted, and how many links a
 * path may lead through: path_resolution(7) */
#define VIEW_MAPPED_MAX 1024
#define VIEW_LINKS_MAX  40

/* Seconds for the builder, which needs a millisecond, and bytes of its stack */
#define VIEW_DEADLINE 10
#define VIEW_STACK    65536

/* The key under which httpd keeps what children enter, and how, when a restart
 * loads this module anew */
#define VIEW_KEPT "mod_chroot " CHROOT_VERSION " view"

typedef struct {
    int ns, fd;  /* its namespace, or -1, and its root */
    int mount;   /* it is a view, not the jail alone */
    int seal;    /* 0 if root could not climb out, or an errno */
    int no_seal; /* children could not be locked in by a namespace */
    int early;   /* the last probe that succeeded entered early */
} view_kept;

/* This generation's plan, and what its children enter */
static struct {
    apr_array_header_t *steps; /* of view_step *, sorted by path */
    apr_hash_t *by_path;
    const view_step *last; /* a directory on the way to the last path */
    const char *missing;   /* the last path that was not there */
    view_kept *kept;
    struct stat jail;
    int mapped;
    int above_is_empty; /* there is no .htaccess file above ChrootDir */
} view;

static int is_device(const struct stat *st)
{
    return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* Returns the step at a path; adds one, with st, if there is none. */
static view_step *view_step_at(const char *path, const struct stat *st)
{
    view_step *step = apr_hash_get(view.by_path, path, APR_HASH_KEY_STRING);

    if (step == NULL) {
        step = apr_pcalloc(view.steps->pool, sizeof(*step));
        step->path = apr_pstrdup(view.steps->pool, path);
        step->st = *st;
        APR_ARRAY_PUSH(view.steps, view_step *) = step;
        apr_hash_set(view.by_path, step->path, APR_HASH_KEY_STRING, step);
    }
    return step;
}

/* Returns the nearest planned directory that is found quickly on the way to an
 * absolute path, or NULL. It is no symbolic link, nor below one. */
static const view_step *view_known(const char *path)
{
    const char *rest = view.last != NULL ? path_below(path, view.last->path)
                                         : NULL;
    const view_step *step = NULL;
    size_t length;

    if (rest != NULL && rest[1] != '\0') {
        return view.last; /* the next virtual host's is often beside it */
    }
    length = strlen(path);
    while (length > 1 && (step == NULL || !S_ISDIR(step->st.st_mode))) {
        do {
            length--;
        } while (path[length] != '/');
        step = apr_hash_get(view.by_path, path, length);
    }
    return length > 1 ? view.last = step : NULL;
}

/* Plans all that leads to an absolute path: directories, and symbolic links as
 * they are. User must not choose what is mounted: no link that User could
 * replace is followed. Returns the path that it really is, or NULL with errno;
 * sets st, and *writer to the last directory above that User may write to. */
static const char *view_way(apr_pool_t *p, const char *path, struct stat *st,
                            const char **writer)
{
    const view_step *known = view_known(path);
    view_step *step;
    const char *here = known != NULL ? known->path : "/", *next = here;
    const char *rest = path + strlen(here);
    char target[PATH_MAX];
    int links = 0;
    ssize_t n;

    *writer = known != NULL ? known->writer : NULL;
    if (view.missing != NULL && path_below(path, view.missing) != NULL) {
        errno = ENOENT;
        return NULL;
    }
    while (known != NULL && next == known->path ? (*st = known->st, 1)
                                                : lstat(next, st) == 0) {
        if (S_ISLNK(st->st_mode)) {
            n = readlink(next, target, sizeof(target) - 1);
            if (n == -1 || links++ == VIEW_LINKS_MAX || *writer != NULL
                || st->st_uid == ap_unixd_config.user_id) {
                errno = n == -1                  ? errno
                        : links > VIEW_LINKS_MAX ? ELOOP
                                                 : EXDEV;
                return NULL;
            }
            target[n] = '\0';
            view_step_at(next, st)->target = apr_pstrdup(view.steps->pool,
                                                         target);
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
        if (known == NULL || here != known->path) {
            step = view_step_at(here, st);
            step->writer = *writer;
            view.last = here[1] != '\0' ? step : NULL;
        }
        if (user_may_write(st) || st->st_uid == ap_unixd_config.user_id) {
            *writer = here;
        }
        n = (ssize_t)strcspn(rest, "/");
        if (n == 2 && strncmp(rest, "..", 2) == 0) {
            next = path_parent(p, here);
        }
        else if (n != 1 || *rest != '.') {
            next = apr_pstrcat(p, here[1] != '\0' ? here : "", "/",
                               apr_pstrmemdup(p, rest, n), NULL);
        }
        rest += n;
    }
    view.missing = errno == ENOENT ? next : NULL;
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
    if (path_below(path, "/proc") != NULL || path_below(path, "/sys") != NULL
        || (statfs(path, &fs) == 0
            && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC))) {
        return "/proc and /sys show the machine and its processes, and lead "
               "out";
    }
    if (!writable || strcmp(path, gen.jail) == 0) {
        return NULL;
    }
    if (rank == RANK_NEEDED && strchr(path + 1, '/') == NULL) {
        return "it contains more than sockets; give them a directory of their "
               "own";
    }
    if (path_below(gen.jail, path) != NULL) {
        return "it contains ChrootDir, and everything beside that would become "
               "writable";
    }
#endif
    return NULL;
}

/* Plans to mount a path. One that cannot be mounted is left out: it may be made
 * later, and must not keep the server from starting. A path that URLs are
 * mapped to and that is not there is as without a jail. */
static void view_want(apr_pool_t *p, const ap_directive_t *node,
                      const char *path, view_rank rank, int writable)
{
    struct stat st = { 0 };
    const char *writer, *real = view_way(p, path, &st, &writer), *why;
    int rv = real == NULL ? errno : 0;
    view_step *step;

    if (rank == RANK_MAPPED
        && (real != NULL ? path_below(real, gen.jail) != NULL : rv != EXDEV)) {
        return;
    }
    why = real != NULL  ? view_refusal(real, rank, writable)
          : rv == EXDEV ? "User may replace a symbolic link on the way"
                        : apr_psprintf(p, "%pm", &rv);
    if (why != NULL) {
        view_without(node, path, why);
        return;
    }
    step = view_step_at(real, &st);
    if (step->bind && step->rank > rank) {
        return;
    }
    view.mapped += rank == RANK_MAPPED && !step->bind;
    if (rank == RANK_MAPPED && view.mapped == VIEW_MAPPED_MAX + 1) {
        finding_add(
            node, FINDING_ERROR,
            "maps URLs outside ChrootDir, and more than %d such paths cannot "
            "be mounted; write ChrootBind and a directory above them",
            VIEW_MAPPED_MAX);
    }
    step->bind = 1;
    step->node = node;
    step->rank = rank;
    step->writable = writable;
    step->writer = writer;
}

/* Plans the AccessFileName files of directories on the way to what is mounted:
 * they decide about all that is below. */
static void view_add_access_files(apr_pool_t *p)
{
    const char *path;
    const view_step *step;
    struct stat st;
    int i, j, count = view.steps->nelts;

    for (i = 0; i < count; i++) {
        step = APR_ARRAY_IDX(view.steps, i, const view_step *);
        if (step->bind || step->target != NULL
            || path_inside(step->path) != NULL) {
            continue;
        }
        for (j = 0; j < gen.accesses->nelts; j++) {
            path = apr_pstrcat(p, step->path[1] != '\0' ? step->path : "", "/",
                               APR_ARRAY_IDX(gen.accesses, j, const char *),
                               NULL);
            if (lstat(path, &st) == 0) {
                view.above_is_empty = 0;
                view_want(p, gen.node, path, RANK_NEEDED, 0);
            }
        }
    }
}

/* Plans the directory of the sockets by which children reach a module's daemon.
 * directive, or else otherwise, names it or, if is_socket, a socket in it. */
static void view_add_sockets(apr_pool_t *p, const char *module,
                             const char *directive, const char *otherwise,
                             int is_socket)
{
    const ap_directive_t *node = node_last(directive);
    const char *path = node != NULL ? node_word(p, node) : NULL;

    path = path != NULL ? path : otherwise;
    path = is_socket ? ap_runtime_dir_relative(p, path)
                     : ap_server_root_relative(p, path);
    if (path != NULL && ap_find_linked_module(module) != NULL) {
        path = path_trimmed(p, path_canonical(p, path));
        view_want(p, node != NULL ? node : gen.node,
                  is_socket ? path_parent(p, path) : path, RANK_NEEDED, 1);
    }
}

/* Plans the names in the host's root directory, as empty directories:
 * mod_rewrite tells a file from a URL by them (prefix_stat). */
static void view_add_top(apr_pool_t *p)
{
    apr_hash_index_t *each = apr_hash_first(p, gen.top);
    const char *path;
    struct stat root, st;

    for (; each != NULL && stat("/", &root) == 0; each = apr_hash_next(each)) {
        path = apr_pstrcat(p, "/", apr_hash_this_key(each), NULL);
        if (path[1] != '.' && stat(path, &st) == 0) {
            (void)view_step_at(path, &root);
        }
    }
}

/* Sorts directories before what is in them. */
static int view_sorter(const void *a, const void *b)
{
    return strcmp((*(view_step *const *)a)->path,
                  (*(view_step *const *)b)->path);
}

/* Sorts the steps, and leaves out what a mount above them provides already. A
 * device node gets a mount of its own, without nodev. Warns if User can replace
 * what is read-only in a writable mount: children stay in the host's mount
 * namespace, where rename(2) treats a mount point of the view like any
 * directory. */
static void view_sort(apr_pool_t *p)
{
    view_step **steps = (view_step **)view.steps->elts, *step, *above;
    int i, j, count = 0;

    qsort(steps, view.steps->nelts, view.steps->elt_size, view_sorter);
    for (i = 0; i < view.steps->nelts; i++) {
        step = steps[i];
        above = NULL;
        for (j = count - 1; j >= 0 && above == NULL; j--) {
            if (steps[j]->bind && path_below(step->path, steps[j]->path)) {
                above = steps[j];
            }
        }
        view.above_is_empty &= above == NULL
                               || strcmp(step->path, gen.jail) != 0;
        if (above != NULL
            && (!step->bind
                || (!is_device(&step->st) && step->writable <= above->writable
                    && (step->writable == above->writable
                        || step->rank != RANK_EXPLICIT)))) {
            continue;
        }
        step->below = above != NULL;
        steps[count++] = step;
        if (above != NULL && above->writable && !step->writable
            && step->writer != NULL
            && path_below(step->writer, above->path) != NULL) {
            finding_add(gen.node, FINDING_WARNING,
                        "has \"%s\" read-only, but User may write to \"%s\" "
                        "and so replace it",
                        step->path, step->writer);
        }
    }
    view.steps->nelts = count;
}

/* Plans the view of this generation. Parent, any user. */
static void view_plan(apr_pool_t *p, apr_pool_t *ptemp)
{
    const char *written = ap_server_root_relative(ptemp, gen.written), *writer;
    const view_wish *wish = (view_wish *)gen.wishes->elts;
    struct stat st;
    int i;

    view.steps = apr_array_make(p, 64, sizeof(void *));
    view.by_path = apr_hash_make(p);
    (void)lstat(gen.jail, &view.jail); /* children verify that it is there */
    view_want(ptemp, gen.node, gen.jail, RANK_NEEDED, 1);
    if (written != NULL && stat(written, &st) == 0) { /* no keyword */
        (void)view_way(ptemp, written, &st, &writer);
    }
    for (i = 0; i < gen.wishes->nelts; i++, wish++) {
        view_want(ptemp, wish->node, wish->path, wish->rank, wish->writable);
    }
    view_add_sockets(ptemp, "mod_cgid.c", "ScriptSock", "cgisock", 1);
    view_add_sockets(ptemp, "mod_fcgid.c", "FcgidIPCDir", FCGID_SOCKETS, 0);
    if (gen.rules) {
        view_add_top(ptemp);
    }
    view.above_is_empty = 1;
    view_add_access_files(ptemp);
    view_sort(ptemp);
}

/* What the builder shares with the parent: its descriptors, of which the first
 * two stay open, its last system call, and how that went. */
enum { FD_NS, FD_ROOT, FD_HOST, FD_FROM, FD_TREE, FD_PLACE, FDS };

static struct {
    int fds[FDS];
    const char *call, *path;
    int error, seal, done;
} built;

#if CHROOT_VIEW
static char view_stack[VIEW_STACK] __attribute__((aligned(16)));

/* Makes a system call of the builder; does nothing once one has failed. */
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

/* Opens an absolute path below root, following no symbolic link. */
static int view_path(int root, const char *path)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_IN_ROOT };

    return VIEW_CALL(openat2, path, root, path, &how, sizeof(how));
}

/* Copies the tree of mounts at a path of the host. */
static int view_copy(const char *path)
{
    int *from = &built.fds[FD_FROM], tree;

    *from = view_path(built.fds[FD_HOST], path);
    tree = VIEW_CALL(open_tree, path, *from, "",
                     AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE
                         | OPEN_TREE_CLOEXEC);
    fd_close(from);
    return tree;
}

/* Makes an empty file system, for the view's root. */
static int view_empty(void)
{
    int *from = &built.fds[FD_FROM], fd;

    *from = VIEW_CALL(fsopen, "tmpfs", "tmpfs", FSOPEN_CLOEXEC);
    (void)VIEW_CALL(fsconfig, "tmpfs", *from, FSCONFIG_CMD_CREATE, NULL, NULL,
                    0);
    fd = VIEW_CALL(fsmount, "tmpfs", *from, FSMOUNT_CLOEXEC,
                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    fd_close(from);
    return fd;
}

/* Moves a mount to *place, and closes that. */
static void view_move(int tree, int *place, const char *path)
{
    (void)VIEW_CALL(move_mount, path, tree, "", *place, "",
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    fd_close(place);
}

/* Makes a step in the view. */
static void view_make_step(const view_step *step)
{
    const char *path = step->path, *name = path[1] != '\0' ? path + 1 : ".";
    const struct stat *st = &step->st;
    int root = built.fds[FD_ROOT], *tree = &built.fds[FD_TREE];
    int *place = &built.fds[FD_PLACE];

    if (step->target != NULL) {
        (void)VIEW_CALL(symlinkat, path, step->target, root, name);
    }
    else if (!step->below && path[1] != '\0') {
        (void)(S_ISDIR(st->st_mode)
                   ? VIEW_CALL(mkdirat, path, root, name, 0700)
                   : VIEW_CALL(mknodat, path, root, name, S_IFREG, 0));
    }
    if (step->bind) {
        *tree = view_copy(path);
        view_flags(*tree, path, AT_RECURSIVE,
                   MOUNT_ATTR_NOSUID | (step->writable ? 0 : MOUNT_ATTR_RDONLY)
                       | (is_device(st) ? 0 : MOUNT_ATTR_NODEV),
                   0);
        *place = view_path(root, path);
        view_move(*tree, place, path);
        fd_close(tree);
        return;
    }
    (void)VIEW_CALL(fchownat, path, root, name, st->st_uid, st->st_gid,
                    AT_SYMLINK_NOFOLLOW);
    if (step->target == NULL) {
        (void)VIEW_CALL(fchmodat, path, root, name, st->st_mode & 07777);
    }
}

/* Makes what was built the root of the namespace, and detaches all else. At
 * last the builder, which is root, tries the classic way out: climbing by ".."
 * while its own root directory is elsewhere. */
static void view_enter(void)
{
    int root = built.fds[FD_ROOT];
    struct stat st, up;

    (void)VIEW_CALL(fchdir, "/", root);
    (void)VIEW_CALL(pivot_root, "/", ".", ".");
    (void)VIEW_CALL(umount2, "/", ".", MNT_DETACH);
    if (built.error == 0) {
        built.call = "chroot";
        built.seal = fstat(root, &st) == -1 || fchdir(built.fds[FD_HOST]) == -1
                             || chroot(".") == -1 || fchdir(root) == -1
                             || stat("..", &up) == -1
                         ? errno
                     : is_same(&st, &up) ? 0
                                         : EXDEV;
        built.error = gen.mount ? 0 : built.seal; /* else it is for the seal */
    }
}

/* The builder: a process of its own, root. It has the memory and descriptors of
 * the parent, which waits; namespace, root, working directory and signal
 * handlers are its own. It makes only system calls, and an alarm ends it. What
 * it builds is mounted over "/", because no path leads from there into that. */
static int view_main(void *unused)
{
    static const char *const ns = "/proc/self/ns/mnt", *const root = "/";
    struct sigaction end = { .sa_handler = SIG_DFL };
    sigset_t alarms;
    int *fds = built.fds, i;

    (void)sigaction(SIGALRM, &end, NULL);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    (void)sigprocmask(SIG_UNBLOCK, &alarms, NULL);
    (void)alarm(VIEW_DEADLINE);
    fds[FD_NS] = VIEW_CALL(openat, ns, AT_FDCWD, ns, O_RDONLY | O_CLOEXEC);
    fds[FD_HOST] = VIEW_CALL(openat, root, AT_FDCWD, root, O_PATH | O_CLOEXEC);
    /* from here on "/" is the namespace's, even if the server is in a chroot */
    (void)VIEW_CALL(setns, ns, fds[FD_NS], CLONE_NEWNS);
    view_flags(AT_FDCWD, root, AT_RECURSIVE, 0, MS_SLAVE);
    fds[FD_ROOT] = gen.mount ? view_empty() : view_copy(gen.jail);
    fds[FD_PLACE] = VIEW_CALL(openat, root, AT_FDCWD, root, O_PATH | O_CLOEXEC);
    view_move(fds[FD_ROOT], &fds[FD_PLACE], root);
    for (i = 0; gen.mount && i < view.steps->nelts; i++) {
        view_make_step(APR_ARRAY_IDX(view.steps, i, view_step *));
    }
    if (gen.mount) {
        view_flags(fds[FD_ROOT], root, 0, MOUNT_ATTR_RDONLY, 0);
    }
    view_enter();
    built.done = 1;
    return 0;
}

/* Builds what children will enter. Returns 0, with the first two descriptors of
 * built open, or an errno, with none open. */
static int view_build(void)
{
    sigset_t all, old;
    int status = 0, i;
    pid_t pid;

    memset(&built, 0, sizeof(built));
    memset(built.fds, -1, sizeof(built.fds));
    built.call = "clone";
    built.path = "a mount namespace";
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = clone(view_main, view_stack + VIEW_STACK,
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
    for (i = built.error != 0 ? FD_NS : FD_HOST; i < FDS; i++) {
        fd_close(&built.fds[i]);
    }
    return built.error;
}
#else
static int view_build(void)
{
    built.call = built.path = "a mount namespace";
    return built.error = ENOSYS;
}
#endif /* CHROOT_VIEW */

/* Returns what the last generation's children entered; httpd retains it. */
static view_kept *view_last(void)
{
    view_kept *kept = ap_retained_data_get(VIEW_KEPT);

    if (kept == NULL) {
        kept = ap_retained_data_create(VIEW_KEPT, sizeof(*kept));
        kept->ns = kept->fd = -1;
    }
    return kept;
}

/* Replaces what kept has. The old namespace ends when no child is in it any
 * more, because each child has it open. */
static void view_keep(view_kept *kept, int ns, int fd, int seal)
{
    fd_close(&kept->ns);
    fd_close(&kept->fd);
    kept->ns = ns;
    kept->fd = fd;
    kept->seal = seal;
    kept->mount = gen.mount;
}

/* Makes what children of this generation will enter, gen.fd: a view, or the
 * jail, sealed if possible. Parent, root. A restart tries twice to build a
 * view; if that fails, its children enter the last one, if the same ChrootDir
 * is in it. Returns an errno that was logged, or 0; if the jail cannot be
 * opened, 0 with errno, and gen.fd is -1. */
static int view_open(server_rec *s)
{
    view_kept *kept = view.kept = view_last();
    struct stat st;
    int again = is_restart() && gen.mount && kept->mount
                && fstatat(kept->fd, gen.jail + 1, &st, 0) == 0
                && is_same(&st, &view.jail);
    int rv = EPERM;

    built.call = "children cannot be locked into one, see above";
    if (gen.mount || !kept->no_seal) {
        rv = view_build();
        rv = rv != 0 && again ? view_build() : rv;
    }
    if (rv == 0) {
        view_keep(kept, built.fds[FD_NS], built.fds[FD_ROOT], built.seal);
    }
    else if (!gen.mount) {
        view_keep(kept, -1, open(gen.jail, O_PATH | O_DIRECTORY | O_CLOEXEC),
                  rv);
    }
    else {
        ap_log_error(
            APLOG_MARK, again ? APLOG_ALERT : APLOG_ALERT | APLOG_STARTUP, rv,
            s,
            "ChrootFixRoot Mount: %s %s: look at it, or write ChrootFixRoot "
            "On; Mount needs Linux 5.12 and CAP_SYS_ADMIN, which a container "
            "has to be given, and no RestrictNamespaces= and "
            "SystemCallFilter=~@mount in systemd's unit%s",
            built.call, built.path,
            again ? "; children see what those before this restart saw: "
                    "changes of ChrootBind, and of what URLs are mapped to "
                    "outside ChrootDir, are not in force"
                  : "");
        if (!again) {
            return rv;
        }
        view.above_is_empty = 0; /* not known of another generation's view */
    }
    gen.fd = kept->fd;
    return 0;
}

/* Parent, after a probe could not be locked in: whether children can enter the
 * jail without a seal, as long as this server runs. At a restart they cannot:
 * they enter as the last ones did. */
static int view_unseal(void)
{
    view.kept->no_seal |= !gen.mount && view.kept->ns != -1 && !is_restart();
    return !gen.mount && view.kept->ns != -1 && view.kept->no_seal;
}

/* The mode in force, and whether it is sealed: root tried to climb out, and
 * could not. */
static const char *fix_root_name(apr_pool_t *p)
{
    const char *name = gen.mount ? "Mount" : gen.fix_root ? "On" : "Off";

    return view.kept == NULL ? name
           : view.kept->seal == 0
               ? apr_pstrcat(p, name, ", sealed", NULL)
               : apr_psprintf(p, "%s, not sealed: %s: %pm", name, built.call,
                              &view.kept->seal);
}

/* Prints a line for each mount and symbolic link of the view. */
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
            apr_file_printf(
                out, "View: %s %s, by %s%s\n", step->writable ? "rw" : "ro",
                step->path, node_place(view.steps->pool, step->node),
                S_ISREG(step->st.st_mode) ? " (this file; one that replaces it "
                                            "is seen after a restart)"
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
 * 0, or -1 with errno if that cannot be found out; ENOENT and ESRCH mean that
 * there is no such directory. Climbs by ".." up to a root, which must be the
 * jail: the jail in another mount would not stop a process that climbs. */
static int dir_is_inside(int fd, const char *name)
{
    struct stat st, below = { 0 };
    int answer = -1, up, rv;
    int here = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

    while (here != -1 && fstat(here, &st) == 0) {
        if (is_same(&st, &below)) {
            answer = is_jail(&st);
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

/* Ends this process, which must not serve. It waits, then exits without running
 * exit handlers, and the parent tries again. APEXIT_CHILDSICK would make event
 * and worker end the server when no child is left (AH02324), which User could
 * bring about from the jail; APEXIT_CHILDFATAL ends it, and orphans prefork's
 * other children. */
static void child_fails(void)
{
    if (child.probing) {
        _exit(PROBE_FAILED);
    }
    apr_sleep(SICK_PAUSE);
    _exit(EXIT_FAILURE);
}

#if CHROOT_LATE
/* Milliseconds that a child waits for an answer */
#define JAILER_DEADLINE 10000

/* The jailer's ends of the two pipes, the child it is for, and its stack */
static int jailer_ask, jailer_answer;
static pid_t jailer_child;
static char jailer_stack[JAILER_STACK] __attribute__((aligned(16)));

/* The jailer: a process of its own, root, with all signals blocked. It shares
 * root and working directory with the child (CLONE_FS) and memory with nobody,
 * so it makes only async-signal-safe calls. It exits when it has answered, or
 * when the child is gone. */
static int jailer_main(void *unused)
{
    chroot_answer answer = { NULL, 0 };
    struct pollfd asked = { jailer_ask, POLLIN, 0 };
    char byte;

    close(child.ask);
    close(child.answer);
    /* PR_SET_PDEATHSIG would need a parent that is root when it dies; end of
     * file would need one that has forked nobody */
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
    child.jailer = clone(jailer_main, jailer_stack + sizeof(jailer_stack),
                         CLONE_FS, NULL);
    rv = child.jailer == -1 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rv;
}

/* Starts the jailer of this child, which is still root. Returns when the jailer
 * can be asked. */
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
    child.ask = ask[1];
    child.answer = answer[0];
    jailer_answer = answer[1];
    jailer_child = getpid();
    rv = jailer_clone();
    if (child.probing && (rv == EPERM || rv == ENOSYS || rv == EINVAL)) {
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

/* Has the jailer move this child, with all its threads, into the jail, and
 * waits for the jailer to exit. Returns whether it reports success. */
static int jailer_act(server_rec *s)
{
    chroot_answer answer = { NULL, 0 };
    struct pollfd answered = { child.answer, POLLIN, 0 };
    int rv = 0, status = 0, waited;
    ssize_t n = -1;

    if (write(child.ask, "", 1) == 1) {
        do {
            n = poll(&answered, 1, JAILER_DEADLINE);
            n = n == 1   ? read(child.answer, &answer, sizeof(answer))
                : n == 0 ? (errno = ETIMEDOUT, -1)
                         : -1;
        } while (n == -1 && errno == EINTR);
    }
    if (n == -1) {
        rv = errno;
    }
    close(child.ask);
    close(child.answer);
    if (rv != ETIMEDOUT) {
        waited = process_wait(child.jailer, __WCLONE, &status);
        rv = waited != 0 ? waited : rv;
    }
    if (rv != 0 || n != sizeof(answer)) {
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
 * Verifying: the child trusts nobody; each function logs what is wrong
 */

/* Whether this process has the jail as root and working directory, and User may
 * search it. */
static int verify_root(server_rec *s)
{
    struct stat st, jail;
    int rv;

    if (stat("/", &st) == -1 || chdir("/") == -1
        || faccessat(AT_FDCWD, "/", X_OK, AT_EACCESS) == -1
        || (gen.mount && stat(gen.jail, &jail) == -1)) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "User cannot enter the jail %s", gen.jail);
        return 0;
    }
    if (!is_jail(&st) || (gen.mount && !is_same(&jail, &view.jail))) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                     "not in the jail %s after chroot", gen.jail);
        return 0;
    }
    return 1;
}

/* Whether this process is in Group and can never be root again: none of its
 * real, effective and saved user ids is 0. */
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

/* Logs, with errno, that a thread or a descriptor could not be looked at, and
 * returns 0; or 1 if it has just ended, which does no harm. */
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

/* Logs that a thread or a descriptor breaks out of the jail. Returns 0. */
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

/* Whether a descriptor of this process, or of a thread with a table of its own,
 * is a terminal; one that was hung up counts. Linux, admin-guide/devices.txt.
 */
static int is_terminal(int fd, const struct stat *st)
{
    int kind = 0;

#ifdef __linux__
    kind = (int)major(st->st_rdev);
#endif
    return S_ISCHR(st->st_mode)
           && (kind == 4 || kind == 5 || (kind >= 136 && kind <= 143)
               || isatty(fd));
}

/* Whether a descriptor is neither a terminal nor a directory outside, through
 * which fchdir(2) and openat(2) would leave the jail. It is an entry of the
 * directory dir or, if that is -1, one of this process. The two descriptors
 * that are used to find this out do not count: they are closed afterwards. */
static int verify_descriptor(server_rec *s, int dir, const char *fd)
{
    long number = strtol(fd, NULL, 10);
    struct stat st, own;
    int inside;

    if ((dir == -1 ? fstat((int)number, &st) : fstatat(dir, fd, &st, 0))
        == -1) {
        return (dir == -1 && errno == EBADF)
               || verify_failed(s, "descriptor", fd);
    }
    if (is_terminal((int)number, &st)) {
        return verify_broken(s, "descriptor", fd, "is a terminal in");
    }
    if (!S_ISDIR(st.st_mode)
        || ((number == dir || number == child.tasks)
            && fstat((int)number, &own) == 0 && is_same(&own, &st))) {
        return 1;
    }
    inside = dir == -1 ? dir_is_inside((int)number, ".")
                       : dir_is_inside(dir, fd);
    if (inside == -1) {
        return verify_failed(s, "descriptor", fd);
    }
    return inside
           || verify_broken(s, "descriptor", fd, "is a directory outside of");
}

/* Calls look for each entry of the directory fd, and closes that. Returns
 * whether all were right. */
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

/* Warns of processes that a module forked in child_init: they stay outside. The
 * jailer has exited by now. proc(5): /proc/PID/task/TID/children. */
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

/* Whether a thread, an entry of the directory tasks, is locked in like the
 * process: one that called unshare(2) is not. */
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

/* How many descriptors this process can have: the size of its table, proc(5),
 * or else its limit. */
static long descriptors_max(void)
{
    char text[4096];
    const char *size = NULL;
    ssize_t n;
    long max;

    n = child.status != -1 ? pread(child.status, text, sizeof(text) - 1, 0)
                           : -1;
    if (n > 0) {
        text[n] = '\0';
        size = strstr(text, "\nFDSize:");
    }
    max = size != NULL ? strtol(size + strlen("\nFDSize:"), NULL, 10)
                       : sysconf(_SC_OPEN_MAX);
    return max > 0 && max < DESCRIPTORS_MAX ? max : DESCRIPTORS_MAX;
}

/* Whether this process, which has just been jailed and has dropped root, is
 * really locked in. If late, checks every thread, through /proc; if early,
 * threads are created inside, and descriptors are tried one by one. */
static int verify(server_rec *s)
{
    char number[16];
    long fd, max;
    int tasks = child.tasks, ok;

    if (!verify_root(s) || !verify_user(s)) {
        return 0;
    }
    if (tasks != -1) {
        ok = verify_each(s, tasks, "thread", verify_thread);
        child.tasks = -1;
        return ok;
    }
    ok = verify_capabilities(s, "0");
    max = descriptors_max();
    fd_close(&child.status);
    for (fd = 0; ok && fd < max; fd++) {
        apr_snprintf(number, sizeof(number), "%ld", fd);
        ok = verify_descriptor(s, -1, number);
    }
    return ok;
}

/* ------------------------------------------------------------------------
 * Looking at the jail: warnings about what should not be there
 */

/* The same as finding_add(), for something in the file system. */
static void finding_file(const char *path, const struct stat *st,
                         const char *text)
{
    finding_add(NULL, FINDING_WARNING, "%s (owner %ld:%ld, mode %04o) %s", path,
                (long)st->st_uid, (long)st->st_gid,
                (unsigned)st->st_mode & 07777, text);
}

/* Warns if somebody but root may write to a component of the jail's path, and
 * so put another directory in the jail's place. */
static void inspect_component(const char *path)
{
    struct stat st;

    if (stat(path, &st) == -1) {
        return;
    }
    if (strcmp(path, gen.jail) == 0 && user_may_write(&st)) {
        finding_file(path, &st,
                     "is the jail, and User or Group may write to it");
    }
    else if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH))) {
        finding_file(
            path, &st,
            "should be writable by root alone: others could replace the jail");
    }
}

/* Looks at every component of the jail's path and, if ChrootDir names the jail
 * through symbolic links, of that path, too. */
static void inspect_path(apr_pool_t *p)
{
    const char *end, *path;

    if (gen.jail[1] != '\0') {
        inspect_component("/");
    }
    for (end = gen.jail; *end != '\0';) {
        end = end + 1 + strcspn(end + 1, "/");
        inspect_component(apr_pstrmemdup(p, gen.jail, end - gen.jail));
    }
    for (end = gen.link != NULL ? gen.link : ""; *end != '\0';) {
        end = end + 1 + strcspn(end + 1, "/");
        path = apr_pstrmemdup(p, gen.link, end - gen.link);
        if (*end != '\0' && path_below(gen.jail, path) == NULL) {
            inspect_component(path);
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

/* Adds a finding about a file in the jail, whose name others may have chosen.
 */
static void finding_inside(apr_pool_t *p, const char *dir, const char *name,
                           const struct stat *st, const char *text)
{
    finding_file(ap_escape_logitem(p, apr_pstrcat(p, gen.mount ? "" : gen.jail,
                                                  dir, "/", name, NULL)),
                 st, text);
}

/* Looks at an entry of a directory in the jail: device nodes, set-user-id files
 * and a mounted /proc are ways out, unless the mount forbids them. Returns
 * whether it is a directory to look into. */
static int inspect_entry(apr_pool_t *p, int fd, const char *dir,
                         const char *name)
{
    struct stat st, self;
    struct statvfs fs = { 0 };

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0
        || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        return 0;
    }
    if (S_ISBLK(st.st_mode)
        || (S_ISCHR(st.st_mode) && !device_is_harmless(st.st_rdev))) {
        (void)statvfs(apr_pstrcat(p, dir, "/", name, NULL), &fs);
        if (!(fs.f_flag & ST_NODEV)) {
            finding_inside(p, dir, name, &st, "is a device node in the jail");
        }
    }
    else if (S_ISREG(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID))
             && (statvfs(apr_pstrcat(p, dir, "/", name, NULL), &fs) == -1
                 || !(fs.f_flag & ST_NOSUID))) {
        finding_inside(p, dir, name, &st,
                       "is set-user-id or set-group-id in the jail");
    }
    else if (S_ISDIR(st.st_mode) && st.st_dev != gen.dev
             && fstatat(fd, apr_pstrcat(p, name, "/self/root", NULL), &self,
                        AT_SYMLINK_NOFOLLOW)
                    == 0) {
        finding_inside(p, dir, name, &st,
                       "is a mounted proc file system in the jail: it shows "
                       "other processes, and leads to their directories");
        return 0;
    }
    return S_ISDIR(st.st_mode);
}

/* Looks at the top levels of the jail, as User from inside: root opens nothing
 * in it. A directory, "" at first, is looked at before those in it; *left is
 * how many entries may still be looked at. */
static void inspect_inside(apr_pool_t *p, const char *path, int depth,
                           int *left)
{
    apr_array_header_t *below = apr_array_make(p, 16, sizeof(const char *));
    int fd = open(*path != '\0' ? path : "/",
                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
    const struct dirent *entry = NULL;
    int i;

    for (i = 0; dir != NULL && (entry = readdir(dir)) != NULL; i++) {
        if (i == INSPECT_DIRECTORY || (*left)-- <= 0) {
            finding_add(NULL, FINDING_NOTE,
                        "%s%s has many entries, not all of them were looked at",
                        gen.jail, ap_escape_logitem(p, path));
            break;
        }
        if (inspect_entry(p, fd, path, entry->d_name) && depth > 1) {
            APR_ARRAY_PUSH(below, const char *) = apr_pstrcat(
                p, path, "/", entry->d_name, NULL);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    else {
        fd_close(&fd);
    }
    for (i = 0; *left > 0 && i < below->nelts; i++) {
        inspect_inside(p, APR_ARRAY_IDX(below, i, const char *), depth - 1,
                       left);
    }
}

/* ------------------------------------------------------------------------
 * The life of a generation
 */

/* How often to try a probe that somebody kills, and how many milliseconds each
 * may take */
#define PROBE_TRIES    3
#define PROBE_DEADLINE 5000

/* Bytes: for what a probe finds in the jail */
#define FOUND_SIZE 65536UL

/* Opens the jail once, so that children enter what was checked. Returns an
 * errno that was logged, or 0. */
static int jail_open(apr_pool_t *p, server_rec *s)
{
    struct stat st;
    int rv = view_open(s);

    if (rv != 0) {
        return rv;
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

/* Whether TZ is a rule, not the name of a file: a name of three letters or
 * more, or in <>, and an offset (POSIX.1, XBD 8.3). */
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

/* Returns the rule in the last line of a TZif file, tzfile(5), or NULL. For
 * UTC, "UTC": this needs no file, and where glibc can read that zone's file it
 * converts times with fewer instructions than by a rule. */
static const char *zone_rule(apr_pool_t *p, const char *path)
{
    char line[ZONE_RULE_MAX] = "";
    FILE *file = fopen(path, "re");
    size_t length;

    if (file == NULL) {
        return NULL;
    }
    if (fgets(line, 5, file) != NULL && strcmp(line, "TZif") == 0) {
        while (fgets(line, sizeof(line), file) != NULL) {
        }
    }
    (void)fclose(file);
    length = strcspn(line, "\n");
    if (line[length] == '\0' || !zone_is_rule(line)) {
        return NULL;
    }
    return strcmp(line, "UTC0\n") == 0 ? "UTC"
                                       : apr_pstrmemdup(p, line, length);
}

/* TZ for children, for whom /etc/localtime and the zone files are out of
 * reach; NULL when what they inherit will do. */
static const char *zone_for_children(apr_pool_t *p)
{
    const char *zone = getenv("TZ");
    const char *dir = getenv("TZDIR");

    if (zone == NULL) {
        return zone_rule(p, "/etc/localtime");
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
    return zone_rule(p, zone);
}

#ifdef __GLIBC__
/* Loads a library for good, and adds its name to loaded. */
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

/* Loads the name service modules for hosts, which glibc would load at the first
 * look-up, and for groups, which each child would load to become User.
 * nsswitch.conf(5). */
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
#endif

/* Loads what glibc and APR would load at first use, when it is out of reach:
 * libgcc_s for pthread_exit(3), name services, the drivers of apr_dbm. Ignores
 * what is not installed. Returns the names. */
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

/* Whether the server can confine its children; logs why not. One with ambient
 * CAP_SYS_CHROOT but without root would leave this capability to them. */
static int may_confine(server_rec *s)
{
    static const char *const rooted[] = { "mpm_itk.c", "mod_ruid2.c" };
    size_t i;

    for (i = 0; i < sizeof(rooted) / sizeof(rooted[0]); i++) {
        if (ap_find_linked_module(rooted[i]) != NULL) {
            ap_log_error(
                APLOG_MARK, APLOG_ALERT | APLOG_STARTUP, 0, s,
                "ChrootDir \"%s\": %s keeps privileges in children, "
                "with which they could leave any jail; unload it or mod_chroot",
                gen.jail, rooted[i]);
            return 0;
        }
    }
    if (geteuid() != 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT | APLOG_STARTUP, 0, s,
                     "ChrootDir \"%s\" needs a server that is started as root; "
                     "start it as root, or take ChrootDir out",
                     gen.jail);
        return 0;
    }
    return 1;
}

/* Keeps User's processes in the jail from tracing this one, which is User and
 * still outside: ptrace(2). Returns whether they could have, or -1. */
static int untraceable(void)
{
#ifdef PR_SET_DUMPABLE
    int traceable = prctl(PR_GET_DUMPABLE) == 1; /* 2: by root alone */

    return traceable && prctl(PR_SET_DUMPABLE, 0) == -1 ? -1 : traceable;
#else
    return 0;
#endif
}

/* Whether User may search the jail and, with FixRoot on, the directories above
 * it, as without a jail. */
static int may_search(void)
{
    if (gen.mount) { /* in the view, by the path that it has outside */
        return faccessat(gen.fd, gen.jail + 1, X_OK, AT_EACCESS) == 0;
    }
    return (!gen.fix_root
            || faccessat(AT_FDCWD, gen.jail, X_OK, AT_EACCESS) == 0)
           && faccessat(gen.fd, ".", X_OK, AT_EACCESS) == 0;
}

/* Parent, root, one thread; before any other module forks a daemon. Standard
 * error is still the terminal at the first of the two passes of a start. */
static int chroot_open_logs(apr_pool_t *pconf, apr_pool_t *plog,
                            apr_pool_t *ptemp, server_rec *s)
{
    if (gen.jail == NULL) {
        view_keep(view_last(), -1, -1, 0);
        return OK;
    }
    if (!may_confine(s) || jail_open(pconf, s) != 0) {
        return OK; /* post_config refuses, in the error log */
    }
    gen.zone = zone_for_children(pconf);
    (void)preload(ptemp);
    return OK;
}

/* Completes the entry of an MPM child or a probe that has dropped root. If
 * late, opens /proc/self/task, which no other process can inherit any more, and
 * has the jailer act. Returns whether this process is locked in. */
static int enter(server_rec *s)
{
    int rv;

    /* mod_unixd has jailed a child that was told to stop while it started */
    if (child.is_child && gen.late) {
        child.tasks = open("/proc/self/task",
                           O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (child.tasks == -1) {
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

/* The self-link: with FixRoot on, a symbolic link in the jail at the jail's own
 * path makes outer names valid for children. It leads to the jail's root
 * through a directory that only the jail has: without a jail it leads nowhere,
 * and gives no file a second URL. Returns the relative target that an
 * administrator may use instead: one ".." less than the jail's path has
 * components. */
static const char *link_relative(apr_pool_t *p)
{
    const char *up = ".", *c;

    for (c = strchr(gen.jail + 1, '/'); c != NULL; c = strchr(c + 1, '/')) {
        up = up[1] == '\0' ? ".." : apr_pstrcat(p, "../", up, NULL);
    }
    return up;
}

/* Whether the self-link is there, as seen by a process in the jail. */
static int link_is_right(const char *relative)
{
    char target[PATH_MAX];
    struct stat root, there;
    ssize_t n = readlink(gen.jail, target, sizeof(target) - 1);

    target[n > 0 ? n : 0] = '\0';
    return (strcmp(target, LINK_ANCHOR "/..") == 0
            || strcmp(target, relative) == 0)
           && stat("/", &root) == 0 && stat(gen.jail, &there) == 0
           && is_same(&root, &there);
}

/* Whether what runs a program is missing: a script's interpreter or the dynamic
 * loader. User, in the jail. */
static int program_is_broken(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char text[4096], *path = NULL;
    struct stat st;
    ssize_t n = fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
                        && (st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))
                    ? read(fd, text + 1, sizeof(text) - 2)
                    : -1;

    fd_close(&fd);
    if (n < 4) {
        return 0;
    }
    text[0] = text[n + 1] = '\0';
    if (strncmp(text + 1, "#!", 2) == 0) {
        path = text + 3 + strspn(text + 3, " \t");
        path[strcspn(path, " \t\r\n")] = '\0';
    }
    else if (strncmp(text + 1, "\177ELF", 4) == 0) {
        path = memmem(text, n, "/lib", 4); /* no "\0" need precede it */
        path = path != NULL && strstr(path, "/ld-") != NULL ? path : NULL;
    }
    return path != NULL && access(path, X_OK) == -1;
}

/* Whether a directory has such a program, or a file is one. A limit applies to
 * all calls together, because many hosts may share a directory. */
static int has_broken_program(const char *path)
{
    static int left = INSPECT_ENTRIES;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    int broken = 0, i;

    if (dir == NULL) {
        fd_close(&fd);
        return program_is_broken(AT_FDCWD, path);
    }
    for (i = 0; !broken && i < INSPECT_DIRECTORY && left-- > 0
                && (entry = readdir(dir)) != NULL;
         i++) {
        broken = program_is_broken(fd, entry->d_name);
    }
    (void)closedir(dir);
    return broken;
}

/* Whether a directory has no entries. */
static int dir_is_empty(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    while (dir != NULL && count < 3 && readdir(dir) != NULL) {
        count++; /* "." and ".." are two */
    }
    return dir != NULL && closedir(dir) == 0 && count < 3;
}

/* Whether a condition or an expression tests a path: for these, a directory of
 * the view exists even if it only leads to something else. */
static int path_is_tested(const chroot_path *path)
{
    return path->level == FINDING_ERROR && path->need == NULL
           && (path->does == 0
               || strcasecmp(path->node->directive, "RewriteCond") == 0);
}

/* What this process, to which the jail is "/", can do with a path. Call it for
 * programs before the paths that they need. */
static chroot_fate path_fate(apr_pool_t *p, const chroot_path *path)
{
    static int broken;
    const char *name = path->path, *inner = path_inside(name);
    int mode = path->mode;
    struct statvfs fs;
    struct stat st;

    if (path->fate != FATE_UNKNOWN) {
        return path->fate;
    }
    if (path->need != NULL && strcmp(name, gen.jail) == 0) {
        /* the self-link, or nothing: a start makes it */
        return lstat(name, &st) == -1 || link_is_right(link_relative(p))
                   ? FATE_INSIDE
                   : FATE_MISSING;
    }
    if (path->need != NULL && (path->does & EXECUTES) && !broken) {
        return FATE_INSIDE;
    }
    if (gen.fix_root && path->need == NULL) {
        name = inner; /* paths outside have a fate already */
    }
    if (!gen.fix_root && !gen.mount && (path->does & SECTION) && inner != NULL
        && link_is_right(link_relative(p))) {
        return FATE_MISSING; /* requests do not come through the self-link */
    }
    if (stat(name, &st) == -1) {
        return errno == EACCES         ? FATE_UNREADABLE
               : lstat(name, &st) == 0 ? FATE_LEADS_OUT
                                       : FATE_MISSING;
    }
    if (gen.mount && S_ISDIR(st.st_mode) && st.st_dev == gen.dev
        && !(path->does & SECTION) && !path_is_tested(path)) {
        return FATE_MISSING; /* it only leads to what is in the view */
    }
    if (mode == W_OK && statvfs(name, &fs) == 0 && (fs.f_flag & ST_RDONLY)) {
        return FATE_READ_ONLY;
    }
    if (path->need == NULL && (path->does & EXECUTES)
        && has_broken_program(name)) {
        broken = 1;
        return FATE_BROKEN;
    }
    if (mode == 0 || (mode == W_OK && !S_ISDIR(st.st_mode))) {
        mode = S_ISDIR(st.st_mode) ? X_OK : S_ISSOCK(st.st_mode) ? W_OK : R_OK;
    }
    if (access(name, mode) == -1
        && (mode != W_OK
            || (!(path->does & BELOW) && (!gen.mount || path->need == NULL)))) {
        return FATE_UNREADABLE;
    }
    return !gen.mount && name == path->path && name[1] != '\0'
                   && path->mode != W_OK && S_ISDIR(st.st_mode)
                   && dir_is_empty(name)
               ? FATE_EMPTY
               : FATE_INSIDE;
}

/* What a probe sees as User from inside, for the parent: findings, a digit and
 * a text each, up to an empty one; and the fates of all paths. */
typedef struct {
    size_t size; /* of what is in found */
    char found[FOUND_SIZE];
    chroot_fate fates[];
} chroot_seen;

static size_t seen_size(void)
{
    return sizeof(chroot_seen) + gen.paths->nelts * sizeof(chroot_fate);
}

/* Hands over a text, if there is room. */
static void seen_add(chroot_seen *seen, int number, const char *text)
{
    size_t size = strlen(text) + 2;

    if (size < FOUND_SIZE - seen->size) {
        seen->found[seen->size] = (char)('0' + number);
        memcpy(seen->found + seen->size + 1, text, size - 1);
        seen->size += size;
    }
}

/* Looks at all paths, and into the jail. */
static void look(apr_pool_t *p, chroot_seen *seen)
{
    int left = INSPECT_ENTRIES, i;
    const char *doubled = apr_pstrcat(p, gen.jail, gen.jail, NULL);
    const chroot_finding *finding;
    struct stat st;

    if (seen == NULL) {
        return;
    }
    for (i = 0; i < gen.paths->nelts; i++) {
        seen->fates[i] = path_fate(p,
                                   &APR_ARRAY_IDX(gen.paths, i, chroot_path));
    }
    i = gen.findings->nelts;
    if (gen.jail[1] != '\0') {
        inspect_inside(p, "", INSPECT_DEPTH, &left);
    }
    if (gen.mount && lstat(doubled, &st) == 0 && S_ISDIR(st.st_mode)) {
        finding_add(
            NULL, FINDING_NOTE,
            "%s is not needed with Mount: it made the jail's path valid "
            "inside the jail",
            doubled);
    }
    for (; i < gen.findings->nelts; i++) {
        finding = &APR_ARRAY_IDX(gen.findings, i, chroot_finding);
        seen_add(seen, finding->level, finding->text);
    }
}

/* What a probe does in a process of its own; its exit status is the result. */
typedef chroot_probe (*chroot_act)(apr_pool_t *p, server_rec *s,
                                   chroot_seen *seen);

/* Enters the jail as an MPM child will, with the drop_privileges hooks of all
 * modules, but serves nobody. */
static chroot_probe act_enter(apr_pool_t *p, server_rec *s, chroot_seen *seen)
{
    child.probing = gen.configured = 1;
    if (ap_run_drop_privileges(p, s) != OK) {
        return PROBE_FAILED;
    }
    if (gen.late && !may_search() && errno == EACCES) {
        return PROBE_NO_SEARCH;
    }
    if (!enter(s)) {
        return PROBE_NOT_IN;
    }
    look(p, seen);
    return PROBE_OK;
}

/* Runs PHP's post_config hook, twice as at a start, and hands over the values
 * of its settings that name paths. */
static chroot_probe act_php(apr_pool_t *p, server_rec *s, chroot_seen *seen)
{
    const apr_array_header_t *hooks = ap_hook_get_post_config();
    const ap_LINK_post_config_t *hook;
    char *(*value)(const char *name, size_t length, int orig);
    const char *text;
    int i;

    *(void **)&value = dlsym(RTLD_DEFAULT, "zend_ini_string");
    for (i = 0; i < 2 * hooks->nelts; i++) {
        hook = &APR_ARRAY_IDX(hooks, i % hooks->nelts, ap_LINK_post_config_t);
        if (strcmp(hook->szName, "mod_php.c") == 0
            && (value == NULL || hook->pFunc(p, p, p, s) != OK)) {
            return PROBE_FAILED;
        }
    }
    for (i = 0; i < PHP_SETTINGS; i++) {
        text = value(php_settings[i].name, strlen(php_settings[i].name), 0);
        seen_add(seen, i, text != NULL ? text : "");
    }
    return PROBE_OK;
}

/* Becomes User as mod_unixd would, and tries to search the jail. */
static chroot_probe act_search(apr_pool_t *p, server_rec *s, chroot_seen *seen)
{
    const char *user = ap_unixd_config.user_name;

    if (setgid(ap_unixd_config.group_id) == -1
        || (user[0] != '#' && initgroups(user, ap_unixd_config.group_id) == -1)
        || setuid(ap_unixd_config.user_id) == -1 || untraceable() == -1
        || !may_search()) {
        return errno == EACCES ? PROBE_NO_SEARCH : PROBE_OK;
    }
    return PROBE_OK;
}

/* Waits for a probe to end, and kills it at its deadline: it is User for a
 * moment, so User's processes in the jail could stop it. Returns an errno, or
 * 0. */
static int probe_wait(pid_t pid, int *status)
{
    pid_t ended;
    int ms;

    for (ms = 0; ms < 2 * PROBE_DEADLINE; ms++) {
        ended = waitpid(pid, status, WNOHANG);
        if (ended == pid) {
            return ms > PROBE_DEADLINE ? ETIMEDOUT : 0;
        }
        if (ended == -1 && errno != EINTR) {
            return errno;
        }
        if (ms == PROBE_DEADLINE && kill(pid, SIGKILL) == -1) {
            return errno;
        }
        apr_sleep(1000);
    }
    return ETIMEDOUT; /* not even SIGKILL ends it */
}

/* Forks a probe and returns its answer. Tries again, up to PROBE_TRIES times,
 * if it was killed before it answered. */
static chroot_probe probe(apr_pool_t *p, server_rec *s, chroot_act act,
                          chroot_seen *seen)
{
    int status, rv, i;
    pid_t pid;

    for (i = 0; i < PROBE_TRIES; i++) {
        status = 0;
        pid = fork();
        if (pid == 0) {
            _exit(act(p, s, seen));
        }
        rv = pid == -1 ? errno : probe_wait(pid, &status);
        if (rv == 0 && WIFEXITED(status)) {
            return WEXITSTATUS(status);
        }
        if (rv == 0) {
            ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                         "a probe of the jail %s ended with signal %d",
                         gen.jail, WTERMSIG(status));
            continue;
        }
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "fork of, or wait for, a probe of the jail %s", gen.jail);
        if (rv != ETIMEDOUT) {
            break;
        }
    }
    return PROBE_FAILED;
}

/* Makes the self-link, and the directories above it, in a process that is in
 * the jail already, so that no path leads it out. Returns an errno, LINK_WRONG,
 * or 0 if the link is there. */
static int link_make_inside(const char *relative)
{
    char part[PATH_MAX];
    const char *end = gen.jail;

    if (link_is_right(relative)) {
        return 0;
    }
    while ((end = strchr(end + 1, '/')) != NULL) {
        memcpy(part, gen.jail, end - gen.jail);
        part[end - gen.jail] = '\0';
        if (mkdir(part, 0755) == -1 && errno != EEXIST) {
            return errno;
        }
    }
    if ((mkdir(LINK_ANCHOR, 0755) == -1 && errno != EEXIST)
        || (symlink(LINK_ANCHOR "/..", gen.jail) == -1 && errno != EEXIST)) {
        return errno;
    }
    return link_is_right(relative) ? 0 : LINK_WRONG;
}

/* Makes the link, as a probe. */
static chroot_probe act_link(apr_pool_t *p, server_rec *s, chroot_seen *seen)
{
    const char *relative = link_relative(p);

    umask(022);
    return chroot(gen.door) == -1 || chdir("/") == -1
               ? errno
               : link_make_inside(relative);
}

/* Makes the self-link if there is none; parent, root. Whether it is there. */
static int link_make(apr_pool_t *p, server_rec *s)
{
    int rv = (int)probe(p, s, act_link, NULL);
    const char *dir = path_parent(p, gen.jail);

    if (rv == 0) {
        return 1;
    }
    ap_log_error(
        APLOG_MARK, APLOG_ALERT | APLOG_STARTUP, rv == LINK_WRONG ? 0 : rv, s,
        "%s%s %s; ChrootFixRoot On needs there a link to the jail: mkdir -p %s "
        "&& ln -s %s %s",
        gen.jail, gen.jail,
        rv == LINK_WRONG ? "is something else; move it away" : "cannot be made",
        shell_word(p,
                   apr_pstrcat(p, gen.jail, dir[1] != '\0' ? dir : "", NULL)),
        link_relative(p),
        shell_word(p, apr_pstrcat(p, gen.jail, gen.jail, NULL)));
    return 0;
}

/* Maps memory, shared with a probe, for what it sees. Returns it, or NULL. */
static chroot_seen *seen_map(server_rec *s)
{
    chroot_seen *seen;
    int rv;

    if (gen.paths == NULL) {
        return NULL;
    }
    seen = mmap(NULL, seen_size(), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "cannot check the configuration's paths, and what is in "
                     "the jail");
        return NULL;
    }
    return seen;
}

/* Takes over what a probe has seen, if it succeeded, and unmaps it. The probe
 * was User: nothing in there is trusted. */
static void seen_unmap(chroot_seen *seen, chroot_probe answer)
{
    const char *text;
    int i;

    if (seen == NULL) {
        return;
    }
    seen->found[FOUND_SIZE - 1] = '\0';
    for (i = 0; answer == PROBE_OK && i < gen.paths->nelts; i++) {
        APR_ARRAY_IDX(gen.paths, i, chroot_path)
            .fate = (unsigned)seen->fates[i] <= FATE_UNREADABLE ? seen->fates[i]
                                                                : FATE_UNKNOWN;
    }
    for (text = seen->found; answer == PROBE_OK && *text != '\0';
         text += strlen(text) + 1) {
        finding_add(NULL, (chroot_level)(*text - '0'), "%s", text + 1);
    }
    (void)munmap(seen, seen_size());
}

/* For the report: notes what PHP's own settings name. */
static void look_php(apr_pool_t *p, server_rec *s)
{
    chroot_seen *seen = gen.dump && ap_find_linked_module("mod_php.c") != NULL
                            ? seen_map(s)
                            : NULL;
    size_t size = seen != NULL ? seen_size() : 0;
    char *text, *path, *next;
    int i;

    if (seen == NULL) {
        return;
    }
    if (probe(p, s, act_php, seen) == PROBE_OK) {
        for (text = seen->found; *text != '\0'; text += strlen(text) + 1) {
            i = *text - '0';
            path = apr_pstrdup(p, text + 1);
            for (path = apr_strtok(path, ":;", &next); path != NULL;
                 path = apr_strtok(NULL, ":;", &next)) {
                if (*path == '/') {
                    need_add(gen.node, path_trimmed(p, path),
                             php_settings[i].mode, FINDING_NOTE)
                        ->need = php_settings[i].need;
                }
            }
        }
    }
    (void)munmap(seen, size);
}

/* Decides once per generation how its children enter the jail, late if
 * possible. Logs why if they cannot. */
static chroot_probe probe_entry(apr_pool_t *p, server_rec *s)
{
    chroot_seen *seen = seen_map(s);
    chroot_probe answer;

    /* threads are verified, and the door found, through /proc */
    gen.late = CHROOT_LATE && gen.door != gen.jail;
    answer = gen.late ? probe(p, s, act_enter, seen) : PROBE_NO_JAILER;
    if (answer == PROBE_NO_JAILER) {
        gen.late = 0;
        answer = probe(p, s, act_search, seen);
        if (answer == PROBE_OK) {
            answer = probe(p, s, act_enter, seen);
        }
    }
    seen_unmap(seen, answer);
    if (answer == PROBE_NOT_IN) {
        if (view_unseal() && jail_open(gen.findings->pool, s) == 0) {
            return probe_entry(p, s);
        }
        answer = PROBE_FAILED;
    }
    if (answer == PROBE_NO_SEARCH) {
        ap_log_error(
            APLOG_MARK,
            is_restart() ? APLOG_ALERT : APLOG_ALERT | APLOG_STARTUP, EACCES, s,
            "ChrootDir \"%s\" on line %d of %s: User %s cannot search it%s",
            gen.jail, gen.node->line_num, gen.node->filename,
            ap_unixd_config.user_name,
            gen.fix_root || gen.mount ? ", or a directory above it, so that "
                                        "without a jail nothing would be served"
                                      : "");
    }
    else if (answer != PROBE_OK) {
        ap_log_error(
            APLOG_MARK, APLOG_ALERT, 0, s,
            "children cannot be locked into the jail %s, see above; the server "
            "needs root with CAP_SYS_CHROOT, CAP_SETUID and CAP_SETGID "
            "(systemd: CapabilityBoundingSet=, SystemCallFilter= without "
            "~@mount), and a User who is not root and may search the jail",
            gen.jail);
    }
    return answer;
}

/* Whether the server goes on, and how its children enter the jail. A restart
 * whose probe fails goes on as the last generation did, so that nothing in the
 * jail can end a running server; children verify themselves. */
static int goes_on(server_rec *s, chroot_probe answer)
{
    if (answer == PROBE_OK) {
        view.kept->early = !gen.late;
        return 1;
    }
    if (!is_restart()) {
        return 0;
    }
    if (answer == PROBE_FAILED) {
        gen.late = CHROOT_LATE && gen.door != gen.jail && !view.kept->early;
    }
    ap_log_error(APLOG_MARK, APLOG_ALERT, 0, s,
                 "the server goes on, by %s chroot, and its children serve "
                 "once they can be locked into the jail %s",
                 gen.late ? "late" : "early", gen.jail);
    return 1;
}

/* Whether a path is needed by a module, and by no directive. */
static int need_is_of_module(const chroot_path *path)
{
    return path->need != NULL && strchr(path->need, '(') != NULL;
}

/* Whether children see what is at a path: in the jail or a directory above it;
 * in the view, also behind a symbolic link there, or on the way to a mount. */
static int is_seen(apr_pool_t *p, const char *path)
{
    const view_step *step;
    size_t length;

    path = *path == '/' ? path_canonical(p, path) : "";
    if (path_inside(path) != NULL || path_below(gen.jail, path) != NULL) {
        return 1;
    }
    for (length = view.by_path != NULL ? strlen(path) : 0; length > 0;
         length--) {
        step = path[length] == '/' || path[length] == '\0'
                   ? apr_hash_get(view.by_path, path, length)
                   : NULL;
        if (step != NULL
            && (step->bind || step->target != NULL || path[length] == '\0')) {
            return 1;
        }
    }
    return 0;
}

/* What to report of a need that is missing, or NULL. */
static const char *need_finding(apr_pool_t *p, const chroot_path *path,
                                int is_there)
{
    if (strcmp(path->path, gen.jail) == 0) {
        return apr_psprintf(p,
                            "needs a link to the jail at %s%s, and something "
                            "else is there; move it away",
                            gen.jail, gen.jail);
    }
    return is_there ? apr_psprintf(p, "needs %s in the jail, for User %s: %s",
                                   path->path, ap_unixd_config.user_name,
                                   path_cure(p, path))
                    : NULL;
}

/* What to report of a path that children cannot use, or NULL if it is as
 * without a jail. Root opens nothing in the jail. */
static const char *path_finding(apr_pool_t *p, const chroot_path *path)
{
    const char *name = path->path, *inner = path_inside(name);
    const char *user = ap_unixd_config.user_name;
    struct stat st;
    int is_there;

    if (path->does & INNER) {
        return path->fate != FATE_INSIDE
                   ? NULL
                   : apr_psprintf(p,
                                  "names \"%s\", which does not exist outside "
                                  "the jail, and has no effect; write \"%s\"",
                                  inner, name);
    }
    is_there = stat(name, &st) == 0;
    if (path->fate == FATE_UNKNOWN || path->fate == FATE_INSIDE) {
        return NULL;
    }
    if (path->fate == FATE_EMPTY) {
        return inner != NULL || !is_there || dir_is_empty(name)
                   ? NULL
                   : apr_psprintf(p,
                                  "%s \"%s\", which is empty in the jail and "
                                  "not outside: what was mounted there?",
                                  path->need != NULL ? "needs" : "names", name);
    }
    if (path->fate == FATE_BROKEN) {
        return apr_psprintf(
            p,
            "names \"%s\", where children do not find the interpreter or the "
            "libraries of a program; see CAVEATS.md",
            name);
    }
    if (path->need != NULL) {
        return need_finding(p, path, is_there);
    }
    if (path->fate == FATE_UNREADABLE) {
        return apr_psprintf(p, "names \"%s\", which User %s may not %s", name,
                            user, path->mode == W_OK ? "write to" : "use");
    }
    if (path->fate == FATE_LEADS_OUT && !gen.mount) {
        return apr_psprintf(p,
                            "names \"%s\", which children do not find: a "
                            "symbolic link leads out of the jail %s",
                            name, gen.jail);
    }
    if (gen.fix_root ? inner != NULL
                     : !is_there
                           && (!gen.mount || path->level != FINDING_ERROR
                               || is_seen(p, name))) {
        return NULL; /* but what decides may be made later */
    }
    return inner != NULL && !gen.mount
               ? apr_psprintf(p,
                              "names \"%s\", which children look for in the "
                              "jail; write \"%s\", or set ChrootFixRoot On",
                              name, inner)
               : apr_psprintf(p, "names \"%s\", which is %s; %s", name,
                              path->fate == FATE_READ_ONLY ? "read-only there"
                                                           : "not in the jail",
                              path_cure(p, path));
}

/* Adds the findings about the configuration's paths, each once. */
static void paths_find(apr_pool_t *p)
{
    apr_hash_t *said = apr_hash_make(p);
    const chroot_path *path = (chroot_path *)gen.paths->elts;
    const char *text, *key;
    chroot_level level;
    int copied = 0, i;

    for (i = 0; i < gen.paths->nelts; i++, path++) {
        level = path->fate == FATE_BROKEN && !(path->does & DECIDES)
                    ? FINDING_WARNING
                : path->level == FINDING_ERROR && !gen.dbd_decides
                        && strcasecmp(path->node->directive, "DBDParams") == 0
                    ? FINDING_WARNING
                    : path->level;
        text = level != FINDING_NOTE ? path_finding(p, path) : NULL;
        key = apr_pstrcat(p, path->node->directive, text, NULL);
        if (text == NULL
            || apr_hash_get(said, key, APR_HASH_KEY_STRING) != NULL) {
            continue;
        }
        apr_hash_set(said, key, APR_HASH_KEY_STRING, key);
        copied |= path->need != NULL;
        if (need_is_of_module(path)) {
            text = apr_pstrcat(p, path->need, " ", text, NULL);
        }
        else if (path->fate == FATE_UNREADABLE && path->need == NULL
                 && (gen.fix_root || gen.mount)) {
            level = FINDING_WARNING; /* as without a jail */
        }
        finding_add(need_is_of_module(path) ? NULL : path->node, level, "%s",
                    text);
    }
    path = (chroot_path *)gen.paths->elts;
    for (i = 0; copied && gen.fix_root && i < gen.paths->nelts; i++, path++) {
        text = path->does & MAPS ? path_inside(path->path) : NULL;
        if (text != NULL && text[1] == '\0') {
            finding_add(
                path->node, FINDING_WARNING,
                "maps URLs to the whole jail, so that everything copied "
                "into it has one; make the directory above it the jail");
            break;
        }
    }
}

/* Adds the findings that had to wait for a probe. */
static void find_all(apr_pool_t *p)
{
    paths_find(p);
    if (ap_find_linked_module("mod_fcgid.c") != NULL
        && ap_unixd_config.suexec_enabled) {
        finding_add(NULL, FINDING_WARNING,
                    "mod_fcgid's manager, and the programs that it starts for "
                    "children, are outside of the jail because of suexec; "
                    "write \"Suexec Off\"");
    }
    if (ap_find_linked_module("mod_passenger.c") != NULL) {
        finding_add(NULL, FINDING_WARNING,
                    "mod_passenger's daemons are not jailed");
    }
    inspect_path(p);
}

/* Warns of a log that is a terminal: what children write to it is lost. Does
 * not look at standard input, output and error. */
static void terminals_warn(server_rec *s)
{
    struct stat st;
    long max;
    int fd;

    child.status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    max = descriptors_max();
    fd_close(&child.status);
    for (fd = 3; fd < max; fd++) {
        if (fstat(fd, &st) == 0 && is_terminal(fd, &st)) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         "descriptor %d, a log perhaps, is a terminal, and "
                         "children lose what they write to it; log to a file, "
                         "or to \"|/bin/cat\"",
                         fd);
            return;
        }
    }
}

/* Parent, root, one thread; all other modules are configured. */
static int chroot_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                              apr_pool_t *ptemp, server_rec *s)
{
    if (gen.jail == NULL) {
        return OK;
    }
    if (!may_confine(s) || gen.fd == -1 || !goes_on(s, probe_entry(ptemp, s))
        || (gen.fix_root && !link_make(ptemp, s) && !is_restart())) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (is_final_pass()) {
        if (gen.fix_root) {
            servers_note(pconf, s);
        }
        find_all(ptemp);
        (void)findings_log(s, FINDING_WARNING);
        terminals_warn(s);
        if (findings_log(s, FINDING_ERROR) > 0 && !is_restart()) {
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        gen.paths = NULL; /* they are in ptemp */
        ap_log_error(
            APLOG_MARK, APLOG_NOTICE, 0, s,
            "mod_chroot " CHROOT_VERSION
            ": children are locked into %s (%s chroot, ChrootFixRoot %s)",
            gen.jail, gen.late ? "late" : "early", fix_root_name(ptemp));
    }
    return OK;
}

/* Parent; the last hook before the MPM runs, in every generation. */
static void chroot_optional_fn_retrieve(void)
{
    gen.configured = gen.jail != NULL;
}

/* Parent. The MPM's state is STARTING here, as in its children: what another
 * module forks between these two is a daemon, and must not stay outside. */
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

/* Whether this is in the handler of a signal that ends a child. */
static int is_told_to_end(void)
{
    sigset_t blocked;

    return sigprocmask(SIG_BLOCK, NULL, &blocked) == 0
           && (sigismember(&blocked, SIGTERM) || sigismember(&blocked, SIGHUP));
}

/* Ends an MPM child whose pool is destroyed before drop_privileges is complete:
 * a hook has failed, and the MPM would end the server. */
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

/* Gives up the terminal at a descriptor, if it is this process's controlling
 * terminal. No setsid(2): Ctrl-C, and what prefork's parent sends to its
 * process group, must reach this process. A session leader (-X in a container)
 * gets a SIGHUP from this. Returns an errno, or 0. */
static int terminal_leave(int fd)
{
    int rv = 0;
#ifdef TIOCNOTTY
    int leads = getsid(0) == getpid();
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old;

    if (leads && sigaction(SIGHUP, &ignore, &old) == -1) {
        return errno;
    }
    rv = ioctl(fd, TIOCNOTTY) == -1 ? errno : 0;
    if (leads && sigaction(SIGHUP, &old, NULL) == -1) {
        return errno;
    }
#endif
    return rv;
}

/* Detaches this process, still root and outside, from all terminals: through
 * one, what runs in the jail could type into root's shell by TIOCSTI,
 * ioctl_tty(2). Descriptors become /dev/null. Returns whether none is left. */
static int terminals_leave(server_rec *s)
{
    static const char *const tty = "/dev/tty";
    long max = descriptors_max();
    int null = -1, rv = 0, fd;
    struct stat st;

    for (fd = 0; fd < max && rv == 0; fd++) {
        if (fstat(fd, &st) == -1 || !is_terminal(fd, &st)) {
            continue;
        }
        rv = terminal_leave(fd); /* where there is no /dev/tty */
        rv = rv == ENOTTY || rv == EIO || rv == EBADF ? 0 : rv;
        if (null == -1) {
            null = open("/dev/null", O_RDWR | O_CLOEXEC);
        }
        if (rv == 0 && (null == -1 || dup2(null, fd) == -1)) {
            rv = errno;
        }
    }
    fd_close(&null);
    fd = rv == 0 ? open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
    if (fd != -1) {
        rv = terminal_leave(fd);
        close(fd);
    }
    else if (rv == 0 && errno != ENXIO && errno != ENOENT && errno != ENODEV
             && errno != EIO && errno != EACCES && errno != EPERM) {
        rv = errno; /* these say that there is none, or none for root */
    }
    if (rv != 0) {
        ap_log_error(APLOG_MARK, APLOG_ALERT, rv, s,
                     "leave the terminal before entering the jail %s",
                     gen.jail);
    }
    return rv == 0;
}

/* Each forked process, root, one thread, before mod_unixd. All MPMs set
 * STARTING in a child for these hooks; the parent is RUNNING when it respawns a
 * daemon. Daemons, and whatever else is not known, are left to mod_unixd, which
 * jails them. */
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
    child.is_child = child.probing
                     || (gen.configured && state == AP_MPMQ_STARTING);
    if (child.is_child) {
        apr_pool_pre_cleanup_register(p, s, child_lost);
    }
    if (gen.door != gen.jail) { /* there is a /proc */
        child.status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    }
    if (!terminals_leave(s)) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (gen.late || !child.is_child) {
        fd_close(&child.status);
    }
    if (child.probing) { /* nobody else must write what the parent will read */
        ap_coredumpdir_configured = 0;
    }
    if (child.is_child && gen.late) {
        ap_unixd_config.chroot_dir = NULL;
        /* mod_unixd would let User's other processes, those in the jail, trace
         * this one while it is User and still outside: prctl(2) */
        child.dumps_core = ap_coredumpdir_configured;
        ap_coredumpdir_configured = 0;
        jailer_start(s);
    }
    return OK;
}

/* Each forked process, User, after mod_unixd: a daemon is in the jail now, or
 * must end. The jail was opened before the first daemon is forked. */
static int chroot_drop_privileges_last(apr_pool_t *p, server_rec *s)
{
    int traceable;

    if (gen.jail == NULL) {
        return OK;
    }
    if (child.is_child) {
        /* mod_unixd returns DECLINED when it could not set the groups */
        apr_pool_cleanup_kill(p, s, child_lost);
        traceable = gen.late ? untraceable() : 0;
        if (traceable == -1 || !verify_user(s)) {
            child_fails();
        }
        child.dumps_core |= traceable; /* by fs.suid_dumpable: restored later */
        return OK;
    }
    fd_close(&view_last()->fd);
    return verify_root(s) && verify_user(s) ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

/* Makes CoreDumpDirectory an inner path, unless it is outside, where it is of
 * no use. ServerRoot stays, because paths relative to it are outer ones. */
static void coredump_strip(void)
{
    const char *inner = path_inside(ap_coredump_dir);

    if (inner != NULL) {
        memmove(ap_coredump_dir, inner, strlen(inner) + 1);
    }
}

/* Allows core files again, now that the jail is closed. */
static void allow_core(server_rec *s)
{
#ifdef PR_SET_DUMPABLE
    int rv;

    if (child.dumps_core && prctl(PR_SET_DUMPABLE, 1) == -1) {
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
    fd_close(&view_last()->fd);
    allow_core(s);
    if (gen.fix_root) {
        coredump_strip();
        /* if this fails, root has no type, and httpd denies what is in it */
        (void)apr_stat(&child.root, "/", APR_FINFO_MIN, p);
    }
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, s, "locked into %s", gen.jail);
}

/* ------------------------------------------------------------------------
 * Requests, with FixRoot on: User, any thread. Nothing shared is written.
 */

/* What is known of a request, in its request_config. A file sub-request, whose
 * path nobody maps, has none until its path has been walked. */
typedef struct {
    int rewritten; /* r->filename comes from mod_rewrite, or an earlier hook */
    int decided;   /* its sub-requests no longer decide about it */
    int stripped;  /* the names are inner ones */
    int blind;     /* what decides about it is outside */
} chroot_request;

static chroot_request *request_state(request_rec *r)
{
    chroot_request *state = ap_get_module_config(r->request_config,
                                                 &chroot_module);

    if (state == NULL) {
        state = apr_pcalloc(r->pool, sizeof(*state));
        ap_set_module_config(r->request_config, &chroot_module, state);
    }
    return state;
}

/* Before all other hooks. */
static int chroot_translate_first(request_rec *r)
{
    request_state(r)->rewritten = 1;
    return DECLINED;
}

/* After mod_rewrite, if it has declined. */
static int chroot_translate_mapped(request_rec *r)
{
    request_state(r)->rewritten = 0;
    return DECLINED;
}

/* Whether the jail's root directory has the first component of a path. */
static int jail_has_top(request_rec *r, const char *path)
{
    apr_finfo_t info;

    return apr_stat(&info,
                    apr_pstrcat(r->pool, "/", path_top(r->pool, path), NULL),
                    APR_FINFO_TYPE, r->pool)
           == APR_SUCCESS;
}

/* mod_rewrite takes a path for a file if the jail has its first component, and
 * otherwise for a URL (prefix_stat). This makes it what it would be on the
 * host, where "/", "/." and "/.." are files, too. Returns a status, or OK. */
static int rewrite_resolve(request_rec *r, const char *written, int is_url)
{
    const char *root = ap_document_root(r), *rest, *top;
    char *uri = r->uri;
    int rv;

    if (path_inside(r->filename) == NULL) {
        if (written[strspn(written, "/")] == '\0'
            || host_has_top(r->pool, written)) {
            return OK;
        }
        r->uri = r->filename;
        rv = ap_core_translate(r);
        r->uri = uri;
        return rv;
    }
    rest = root != NULL ? path_below(r->filename, path_trimmed(r->pool, root))
                        : NULL;
    if (rest == NULL || !is_url) {
        return OK;
    }
    top = path_top(r->pool, rest);
    if (apr_hash_get(gen.any_target ? gen.top : gen.targets, top,
                     APR_HASH_KEY_STRING)
            != NULL
        && !jail_has_top(r, rest)) {
        r->filename = apr_pstrdup(r->pool, rest);
    }
    return OK;
}

/* Before any directory walk, for main requests, sub-requests and redirects:
 * makes r->filename a canonical outer path. The self-link, and the directory
 * that it leads through, have no URL. */
static int chroot_map_to_storage(request_rec *r)
{
    const chroot_request *state, *main;
    const char *path, *inner, *written = r->filename;
    int is_url, rv;

    if (r->filename == NULL || r->filename[0] != '/') {
        return DECLINED; /* proxied, or nothing */
    }
    if (r->htaccess == NULL) {
        r->htaccess = gen.above;
    }
    is_url = r->filename == r->canonical_filename; /* by ap_core_translate() */
    path = path_canonical(r->pool, r->filename);
    if (path != r->filename) {
        r->filename = apr_pstrdup(r->pool, path);
    }
    state = ap_get_module_config(r->request_config, &chroot_module);
    if (state != NULL && state->rewritten) {
        rv = rewrite_resolve(r, written, is_url);
        if (rv != OK) {
            return rv;
        }
    }
    else if (state == NULL && r->main != NULL
             && path_inside(r->filename) == NULL) {
        main = ap_get_module_config(r->main->request_config, &chroot_module);
        if (main != NULL && main->stripped) {
            r->filename = apr_pstrcat(r->pool, gen.jail, r->filename, NULL);
        }
    }
    inner = path_inside(r->filename);
    if (inner != NULL && path_inside(inner) != NULL) {
        /* httpd's walk would not get to what is behind the link */
        r->filename = apr_pstrmemdup(r->pool, r->filename, 2 * gen.length);
    }
    else if (inner == NULL || path_below(inner, LINK_ANCHOR) == NULL) {
        r->canonical_filename = r->filename;
        return DECLINED;
    }
    return HTTP_NOT_FOUND;
}

/* Instead of the core, for paths outside. No file is there, but what sections
 * deny stays denied; the rest is 404 in the end. "/" stays a directory, because
 * its index may be a URL. */
static int chroot_map_outside(request_rec *r)
{
    int rv;

    if (r->filename == NULL || r->filename[0] != '/'
        || path_inside(r->filename) != NULL) {
        return DECLINED;
    }
    r->finfo.filetype = APR_NOFILE;
    rv = ap_directory_walk(r);
    r->finfo.filetype = r->filename[1] == '\0' ? APR_DIR : APR_NOFILE;
    return rv != OK ? rv : ap_file_walk(r);
}

/* The directory walk's stat of r->filename. In the jail it is by the inner
 * name, so that the jail is a directory and not the self-link. Outside, all
 * that leads to a path is a directory, and the path itself is missing. */
static apr_status_t chroot_dirwalk_stat(apr_finfo_t *finfo, request_rec *r,
                                        apr_int32_t wanted)
{
    const char *inner = path_inside(r->filename);

    if (inner == NULL) {
        if (!(wanted & APR_FINFO_LINK)) {
            return APR_ENOENT;
        }
        *finfo = child.root;
        return APR_SUCCESS;
    }
    if (inner[1] == '\0') {
        wanted &= ~(APR_FINFO_LINK | APR_FINFO_NAME);
    }
    return apr_stat(finfo, inner, wanted, r->pool);
}

/* Opens a .htaccess file in dir for the directory walk. One that children
 * cannot read must not be ignored: one above the jail, or a link to what they
 * do not see. httpd answers EACCES with 403. Nothing outside is served anyway.
 */
static apr_status_t chroot_open_htaccess(request_rec *r, const char *dir,
                                         const char *name,
                                         ap_configfile_t **file,
                                         const char **full_name)
{
    const char *path = ap_make_full_path(r->pool, dir, name);
    apr_status_t rv;
    char target;

    *full_name = path;
    if (gen.fix_root) {
        if (path_inside(dir) == NULL) {
            return apr_hash_get(gen.htaccess, path, APR_HASH_KEY_STRING) != NULL
                       ? APR_EACCES
                       : APR_ENOENT;
        }
        path += gen.length;
    }
    else if (view.above_is_empty && dir[strlen(dir) - 1] == '/'
             && strncmp(gen.jail, dir, strlen(dir)) == 0) {
        return APR_ENOENT; /* a tmpfs would look for it anew each time */
    }
    rv = ap_pcfg_openfile(file, r->pool, path);
    return APR_STATUS_IS_ENOENT(rv) && readlink(path, &target, 1) != -1
               ? APR_EACCES
               : rv;
}

/* Marks a request, and those that it is a sub-request of, as decided by what is
 * outside, and cannot be known here. */
static void request_decided_outside(request_rec *r)
{
    for (; r != NULL; r = r->main) {
        if (!request_state(r)->decided) {
            request_state(r)->blind = 1;
        }
    }
}

/* After mod_rewrite: from here on, sub-requests only look for an index. */
static int chroot_fixups_decided(request_rec *r)
{
    request_state(r)->decided = 1;
    return DECLINED;
}

/* When everything has been decided: makes names inner ones. Those of a
 * sub-request stay outer ones until its main request's are inner, because what
 * it finds may become that request's. What is outside has no handler: nobody
 * knows what is there. In a view names stay. */
static int chroot_fixups(request_rec *r)
{
    const chroot_request *main = NULL;
    const chroot_request *state = ap_get_module_config(r->request_config,
                                                       &chroot_module);
    const char *inner, *root, *context;

    if (state != NULL && state->blind) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "denied: this depends on a file or a URL outside the jail %s",
            gen.jail);
        return HTTP_FORBIDDEN;
    }
    if (gen.mount) {
        return DECLINED;
    }
    if (r->filename != NULL && r->filename[0] == '/'
        && path_inside(r->filename) == NULL) {
        request_decided_outside(r->main);
        return HTTP_NOT_FOUND;
    }
    if (r->main != NULL) {
        main = ap_get_module_config(r->main->request_config, &chroot_module);
        if (main == NULL || !main->stripped) {
            return DECLINED;
        }
    }
    request_state(r)->stripped = 1;
    if (r->filename != NULL && r->filename[0] == '/') {
        inner = path_inside(r->filename);
        r->filename = inner[1] == '\0' ? apr_pstrdup(r->pool, inner)
                                       : r->filename + gen.length;
        r->canonical_filename = r->filename;
    }
    root = ap_document_root(r);
    context = ap_context_document_root(r);
    inner = context != root && context != NULL ? path_inside(context) : NULL;
    if (inner != NULL) {
        ap_set_context_info(r, NULL, inner);
    }
    inner = root != NULL ? path_inside(root) : NULL;
    if (inner != NULL) {
        ap_set_document_root(r, inner);
    }
    return DECLINED;
}

/* A flag of ours: this module itself repeats the look-up */
#define LOOKED_UP (1 << 30)

/* A wrapped test of a file, or function of one */
typedef struct {
    ap_expr_op_unary_t *operator;
    ap_expr_string_func_t *function;
    const void *data;
} chroot_test;

/* Whether children see the file that an expression names. If not, the request
 * fails, whatever the expression is for. */
static int test_may_run(ap_expr_eval_ctx_t *ctx, const char *name)
{
    if (*name == '\0' || is_seen(ctx->p, name)) {
        return 1;
    }
    *ctx->err = apr_pstrcat(ctx->p, "children do not see the file ", name,
                            NULL);
    request_decided_outside(ctx->r);
    return 0;
}

static int test_operator(ap_expr_eval_ctx_t *ctx, const void *data,
                         const char *name)
{
    const chroot_test *test = data;

    return test_may_run(ctx, name) && test->operator(ctx, test->data, name);
}

static const char *test_function(ap_expr_eval_ctx_t *ctx, const void *data,
                                 const char *name)
{
    const chroot_test *test = data;
    const char *value = "";

    if (test_may_run(ctx, name)) {
        value = test->function(ctx, test->data, name);
    }
    return value;
}

/* The first directive of a tree whose arguments contain a text, or NULL. */
static const ap_directive_t *node_holding(const ap_directive_t *node,
                                          const char *text)
{
    const ap_directive_t *found = NULL;

    for (; node != NULL && found == NULL; node = node->next) {
        found = strcasestr(node->args, text) != NULL
                    ? node
                    : node_holding(node->first_child, text);
    }
    return found;
}

/* The directive that has an expression with a text, or ChrootDir. */
static const ap_directive_t *node_naming(const char *text)
{
    const ap_directive_t *node = node_holding(ap_conftree, text);

    return node != NULL ? node : gen.node;
}

/* Notes that an expression of the configuration decides by a file. Looks for
 * its directive only where that matters. */
static void test_note(apr_pool_t *p, const char *name)
{
    if (gen.mount && *name == '/' && gen.paths != NULL) {
        (void)path_note(node_naming(name), name, FINDING_ERROR);
    }
    else if (!gen.mount && *name != '\0' && !is_seen(p, name)) {
        finding_add(
            node_naming(name), FINDING_ERROR,
            "tests the file \"%s\", and children see those in the jail %s only",
            name, gen.jail);
    }
}

/* While the parent processes the configuration, and children .htaccess files:
 * wraps tests and functions of files in expressions, because children may not
 * see these files (util_expr_eval.c). */
static int chroot_expr_lookup(ap_expr_lookup_parms *parms)
{
    int is_test = parms->type == AP_EXPR_FUNC_OP_UNARY, rv;
    chroot_test *test;
    size_t i;

    for (i = 0; i < VARIABLES && gen.paths != NULL; i++) {
        if (parms->type == AP_EXPR_FUNC_VAR
            && strcasecmp(parms->name, name_variables[i][0]) == 0) {
            (void)need_add(node_naming(name_variables[i][0]),
                           name_variables[i][1], R_OK, FINDING_ERROR);
        }
    }
    if (!gen.fix_root && !gen.mount) {
        return DECLINED;
    }
    if ((parms->flags & LOOKED_UP)
        || !(is_test ? parms->name[0] != '\0' && parms->name[1] == '\0'
                           && strchr("defsLhxF", parms->name[0]) != NULL
                     : parms->type == AP_EXPR_FUNC_STRING
                           && (strcasecmp(parms->name, "file") == 0
                               || strcasecmp(parms->name, "filesize") == 0))) {
        return DECLINED;
    }
    if (parms->arg != NULL && gen.paths != NULL) {
        test_note(parms->ptemp, parms->arg);
    }
    parms->flags |= LOOKED_UP;
    rv = ap_run_expr_lookup(parms);
    test = apr_palloc(parms->pool, sizeof(*test));
    *(const void **)(is_test ? (void *)&test->operator
                             : (void *)&test->function) = *parms->func;
    test->data = *parms->data;
    *parms->func = is_test ? (const void *)test_operator
                           : (const void *)test_function;
    *parms->data = test;
    return rv;
}

/* Answers 503 for mod_cgid when its daemon is out of reach, but only to what
 * mod_cgid would have sent there (mod_cgid.c, cgid_handler). */
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
                  "mod_cgid's daemon is out of reach in the jail %s, see the "
                  "warning at start",
                  gen.jail);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* Registers the request hooks that this generation needs: httpd sorts hooks
 * again after pre_config, and forgets these with the configuration. */
static void register_request_hooks(void)
{
    static const char *const rewrite[] = { "mod_rewrite.c", NULL };
    const char *current = apr_hook_debug_current;

    apr_hook_debug_current = chroot_module.name;
    if (gen.fix_root) {
        ap_hook_translate_name(chroot_translate_first, NULL, NULL,
                               APR_HOOK_REALLY_FIRST - OUTERMOST);
        ap_hook_translate_name(chroot_translate_mapped, rewrite, NULL,
                               APR_HOOK_FIRST);
        ap_hook_map_to_storage(chroot_map_to_storage, NULL, NULL,
                               APR_HOOK_FIRST);
        ap_hook_map_to_storage(chroot_map_outside, NULL, NULL,
                               APR_HOOK_REALLY_LAST - 1);
        ap_hook_dirwalk_stat(chroot_dirwalk_stat, NULL, NULL, APR_HOOK_MIDDLE);
        ap_hook_fixups(chroot_fixups_decided, rewrite, NULL, APR_HOOK_LAST - 1);
    }
    if (gen.fix_root || gen.mount) {
        ap_hook_fixups(chroot_fixups, NULL, NULL,
                       APR_HOOK_REALLY_LAST + OUTERMOST);
        ap_hook_open_htaccess(chroot_open_htaccess, NULL, NULL,
                              APR_HOOK_MIDDLE);
    }
    if (gen.cgid_deaf) {
        ap_hook_handler(chroot_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    }
    apr_hook_debug_current = current;
}

/* The generation ends with its configuration. */
static apr_status_t generation_end(void *unused)
{
    gen.configured = 0;
    gen.fd = -1; /* kept: view_last() */
    return APR_SUCCESS;
}

/* Parent, root or an ordinary user (-t), one thread; twice at start. The tree
 * is complete, and none of it has been processed. Only ChrootDir is changed. */
static int chroot_pre_config(apr_pool_t *pconf, apr_pool_t *plog,
                             apr_pool_t *ptemp)
{
    apr_pool_t *scratch;

    memset(&gen, 0, sizeof(gen));
    memset(&view, 0, sizeof(view));
    gen.fd = -1;
    apr_pool_cleanup_register(pconf, NULL, generation_end,
                              apr_pool_cleanup_null);
    gen.dump = ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL
               && ap_exists_config_define("DUMP_CHROOT");
    gen.findings = apr_array_make(pconf, 4, sizeof(chroot_finding));
    jail_settle(pconf);
    if (gen.jail == NULL) {
        return OK;
    }
    gen.top = host_top(pconf);
    gen.targets = apr_hash_make(pconf);
    gen.htaccess = apr_hash_make(pconf);
    gen.wishes = apr_array_make(ptemp, 64, sizeof(view_wish));
    gen.accesses = apr_array_make(ptemp, 2, sizeof(char *));
    APR_ARRAY_PUSH(gen.accesses, const char *) = ".htaccess";
    if (is_final_pass()) {
        gen.paths = apr_array_make(ptemp, 64, sizeof(chroot_path));
        gen.needs = apr_hash_make(ptemp);
    }
    if (gen.mount || gen.paths != NULL) {
        apr_pool_create(&scratch, ptemp);
        tree_look(scratch, rows_make(ptemp), ap_conftree);
        apr_pool_destroy(scratch);
    }
    if (gen.paths != NULL) {
        if (gen.fix_root) {
            (void)need_add(gen.node, gen.jail, 0, FINDING_ERROR);
        }
        needs_note(ptemp);
    }
    if (!gen.mount) {
        look_cgid(ptemp);
    }
    register_request_hooks();
    return OK;
}

/* ------------------------------------------------------------------------
 * Report
 */

/* Adds the jail to mod_status's page, or to its lines with ?auto. */
static int chroot_status(request_rec *r, int flags)
{
    if (gen.jail != NULL) {
        ap_rprintf(r,
                   flags & AP_STATUS_SHORT
                       ? "ChrootDir: %s (%s chroot, ChrootFixRoot %s)\n"
                       : "<hr />\n<p>ChrootDir: %s (%s chroot, ChrootFixRoot "
                         "%s)</p>\n",
                   ap_escape_html(r->pool, gen.jail),
                   gen.late ? "late" : "early", fix_root_name(r->pool));
    }
    return OK;
}

/* A path with what follows it, for a terminal. */
static const char *path_and_rest(apr_pool_t *p, const char *path,
                                 const char *rest)
{
    return printable(p,
                     *rest != '\0' ? ap_make_full_path(p, path, rest) : path);
}

/* Prints a line for each path of the configuration: its fate, and by what name
 * children find it. */
static void report_paths(apr_pool_t *p, apr_file_t *out)
{
    static const char *const fates[] = {
        "unknown",   "inside",    "outside",       "missing",           "empty",
        "leads out", "read-only", "cannot be run", "not usable by User"
    };
    const chroot_path *path = (chroot_path *)gen.paths->elts;
    const char *inner;
    int i;

    for (i = 0; i < gen.paths->nelts; i++, path++) {
        if (path->need != NULL || (path->does & INNER)) {
            continue;
        }
        inner = path_inside(path->path);
        inner = inner == NULL && path_below(gen.jail, path->path) ? "/" : inner;
        apr_file_printf(out,
                        gen.fix_root && inner != NULL
                            ? "%s: %s names \"%s\", for children \"%s\"\n"
                            : "%s: %s names \"%s\"\n",
                        fates[path->fate], node_place(p, path->node),
                        path_and_rest(p, path->path, path->rest),
                        inner != NULL ? path_and_rest(p, inner, path->rest)
                                      : "");
    }
}

/* Sorts the paths that ChrootBind lacks by reason, mode and name. */
static int binds_sorter(const void *a, const void *b)
{
    const chroot_path *one = a, *other = b;
    int order = strcmp(one->need, other->need);

    order = order != 0 ? order : one->mode - other->mode;
    return order != 0 ? order : strcmp(one->path, other->path);
}

/* Whether ChrootBind can let children see a path. Sets path to what it should
 * name, mode to whether for writing, and need to the reason. */
static int bind_lacks(apr_pool_t *p, chroot_path *path)
{
    struct stat st;

    if ((path->need == NULL && path->level == FINDING_NOTE)
        || (path->does & (MAPS | INNER))
        || (!gen.mount && path_inside(path->path) != NULL)
        || (path->fate != FATE_OUTSIDE && path->fate != FATE_MISSING
            && path->fate != FATE_LEADS_OUT && path->fate != FATE_READ_ONLY)
        || stat(path->path, &st) == -1) {
        return 0;
    }
    if (strcmp(printable(p, path->path), path->path) != 0
        || strstr(path->path, "${") != NULL) {
        return 0; /* httpd would read another directive, or another name */
    }
    path->path = bind_meant(p, path);
    if (path->path == NULL) {
        return 0;
    }
    path->mode = path->mode == W_OK;
    if (!need_is_of_module(path)) {
        path->need = apr_pstrcat(p, "needed by: ", node_place(p, path->node),
                                 path->need != NULL ? " (" : NULL, path->need,
                                 ")", NULL);
    }
    return path->path[1] != '\0';
}

/* Whether another line, for the same path or one above it, makes bind
 * superfluous. */
static int bind_is_covered(const apr_array_header_t *binds,
                           const chroot_path *bind)
{
    const chroot_path *other = (chroot_path *)binds->elts;
    int i;

    for (i = 0; i < binds->nelts; i++, other++) {
        if (other != bind && path_below(bind->path, other->path) != NULL
            && other->mode >= bind->mode
            && (other->mode > bind->mode || other < bind
                || strcmp(bind->path, other->path) != 0)) {
            return 1;
        }
    }
    return 0;
}

/* Prints the ChrootBind lines that are missing, each with its reason. */
static void report_binds(apr_pool_t *p, apr_file_t *out)
{
    apr_array_header_t *binds = apr_array_make(p, 16, sizeof(chroot_path));
    chroot_path *bind, *last = NULL, path;
    int i, same;

    for (i = 0; i < gen.paths->nelts; i++) {
        path = APR_ARRAY_IDX(gen.paths, i, chroot_path);
        if (bind_lacks(p, &path)) {
            APR_ARRAY_PUSH(binds, chroot_path) = path;
        }
    }
    qsort(binds->elts, binds->nelts, sizeof(chroot_path), binds_sorter);
    bind = (chroot_path *)binds->elts;
    for (i = 0; i < binds->nelts; i++, bind++) {
        if (bind_is_covered(binds, bind)) {
            continue;
        }
        if (last == NULL && !gen.mount) {
            apr_file_puts("\nnote: with ChrootFixRoot Mount nothing of this "
                          "has to be copied, by these lines:",
                          out);
        }
        same = last != NULL && strcmp(last->need, bind->need) == 0;
        if (!same) {
            apr_file_printf(out, "\n# %s", bind->need);
        }
        if (!same || last->mode != bind->mode) {
            apr_file_puts(bind->mode ? "\nChrootBind rw" : "\nChrootBind", out);
        }
        apr_file_printf(out, " %s",
                        strpbrk(bind->path, " \t\"'\\") != NULL
                            ? word_quoted(p, bind->path)
                            : bind->path);
        last = bind;
    }
    apr_file_puts(last != NULL ? "\n\n" : "", out);
}

/* Prints the report: what is in force, what children see, what becomes of the
 * configuration's paths, all findings, a line each, and what to write. */
static void report(apr_pool_t *p, apr_file_t *out)
{
    static const char *const levels[] = { "note", "warning", "error" };
    const chroot_finding *finding = (chroot_finding *)gen.findings->elts;
    const char *zone = gen.zone != NULL ? gen.zone : getenv("TZ");
    int level, i;

    apr_file_printf(out,
                    "ChrootDir: %s (%s at %s:%d)\nChrootFixRoot: %s\nChroot: "
                    "%s\nPreloaded: %s\nTime zone: %s\n",
                    gen.jail, gen.written, gen.node->filename,
                    gen.node->line_num, fix_root_name(p),
                    !gen.entered ? geteuid() == 0 ? "not possible, see above"
                                                  : "only root can try"
                    : gen.late   ? "late"
                                 : "early",
                    apr_array_pstrcat(p, preload(p), ' '),
                    zone != NULL ? zone : "UTC");
    if (gen.mount) {
        view_report(out);
    }
    apr_file_puts("\n", out);
    report_paths(p, out);
    apr_file_puts("\n", out);
    for (level = FINDING_ERROR; level >= FINDING_NOTE; level--) {
        for (i = 0; i < gen.findings->nelts; i++) {
            if ((int)finding[i].level == level) {
                apr_file_printf(out, "%s: %s\n", levels[level],
                                finding[i].text);
            }
        }
    }
    report_binds(p, out);
}

/* Parent, any user: refuses a configuration that no jail can honour; with -t,
 * root also tries what post_config does at a start. */
static int chroot_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                               apr_pool_t *ptemp, server_rec *s)
{
    chroot_probe answer;

    if (gen.jail == NULL) {
        return OK;
    }
    if (gen.mount) {
        view_plan(pconf, ptemp);
    }
    if (!gen.dump && findings_log(s, FINDING_ERROR) > 0) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_NORMAL) {
        return OK;
    }
    gen.zone = zone_for_children(pconf);
    if (geteuid() != 0) {
        paths_find(ptemp); /* what is known without a probe */
        return OK;
    }
    if (!may_confine(s)) {
        return OK;
    }
    if (jail_open(pconf, s) != 0) {
        return gen.mount ? HTTP_INTERNAL_SERVER_ERROR : OK;
    }
    look_php(ptemp, s);
    answer = probe_entry(ptemp, s);
    gen.entered = answer == PROBE_OK;
    ap_unixd_config.chroot_dir = gen.jail; /* for DUMP_RUN_CFG */
    find_all(ptemp);
    return answer == PROBE_NO_SEARCH
                   || (!gen.dump && findings_log(s, FINDING_ERROR) > 0)
               ? HTTP_INTERNAL_SERVER_ERROR
               : OK;
}

/* Parent, -t, any user: logs what a start would warn of; prints for
 * DUMP_RUN_CFG a line beside mod_unixd's, for DUMP_CHROOT the report. */
static void chroot_test_config(apr_pool_t *p, server_rec *s)
{
    apr_file_t *out = NULL;

    (void)apr_file_open_stdout(&out, p);
    if (gen.jail == NULL) {
        if (out != NULL && gen.dump) {
            apr_file_puts("ChrootDir: none\n", out);
        }
        return;
    }
    if (out != NULL && ap_exists_config_define("DUMP_RUN_CFG")) {
        apr_file_printf(out, "ChrootFixRoot: %s\n", fix_root_name(p));
    }
    if (out != NULL && gen.dump) {
        report(p, out);
    }
    else {
        (void)findings_log(s, FINDING_WARNING);
    }
}

/* ------------------------------------------------------------------------
 * Directives
 */

/* pre_config has settled everything; this reports the errors. */
static const char *chroot_cmd_chrootdir(cmd_parms *cmd, void *unused,
                                        const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (err != NULL) {
        return err;
    }
    if (gen.error != NULL) {
        return gen.error;
    }
    if (gen.jail == NULL || strcmp(arg, gen.jail) != 0) {
        return apr_psprintf(
            cmd->pool,
            "%s \"%s\" must be in a configuration file: code that adds it "
            "while that is processed is too late",
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
                                  "%s \"%s\" needs Linux 5.12 or newer, and a "
                                  "mod_chroot built there; On works everywhere",
                                  cmd->cmd->name, arg)
               : gen.jail != NULL && gen.jail[1] == '\0'
                   ? apr_psprintf(cmd->pool,
                                  "%s \"%s\" with ChrootDir \"/\" would show "
                                  "children everything",
                                  cmd->cmd->name, arg)
                   : NULL;
    }
    if (flag_value(arg) == -1) {
        return apr_psprintf(cmd->pool, "%s \"%s\" must be On, Off or Mount",
                            cmd->cmd->name, arg);
    }
    return NULL;
}

/* ChrootBind [ro|rw] path...: view_plan() uses them, when User is known. */
static const char *chroot_cmd_chrootbind(cmd_parms *cmd, void *unused, int argc,
                                         char *const argv[])
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY), *path;
    int writable = argc > 0 && strcasecmp(argv[0], "rw") == 0;
    int i = argc > 0 && is_bind_mode(argv[0]);
    char real[PATH_MAX];

    if (err != NULL) {
        return err;
    }
    if (i == argc || !gen.mount) {
        return apr_psprintf(cmd->pool, "%s %s", cmd->cmd->name,
                            i == argc
                                ? "takes one or more paths, after ro or rw"
                                : "requires ChrootFixRoot Mount");
    }
    for (; gen.jail != NULL && i < argc; i++) {
        path = argv[i][0] != '\0' ? ap_server_root_relative(cmd->pool, argv[i])
                                  : NULL;
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

static void chroot_register_hooks(apr_pool_t *p)
{
    ap_hook_pre_config(chroot_pre_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_expr_lookup(chroot_expr_lookup, NULL, NULL, APR_HOOK_REALLY_FIRST);
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
                  "the directory to lock children into, a path, DOCUMENT_ROOT, "
                  "SERVER_ROOT or none"),
    AP_INIT_TAKE1("ChrootFixRoot", chroot_cmd_chrootfixroot, NULL, RSRC_CONF,
                  "On if the configuration's paths are those outside the jail, "
                  "Mount if children see ChrootDir by that path, too"),
    AP_INIT_TAKE_ARGV("ChrootBind", chroot_cmd_chrootbind, NULL, RSRC_CONF,
                      "with ChrootFixRoot Mount, what children see besides "
                      "ChrootDir: ro, which is the default, or rw, and paths"),
    { 0 }
};

module AP_MODULE_DECLARE_DATA chroot_module = {
    STANDARD20_MODULE_STUFF,
    .cmds = chroot_cmds,
    .register_hooks = chroot_register_hooks,
};
