/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * A module that does, as child_init or in the parent, what a jail suffers
 * from.
 *
 *     TestAttack NAME...
 *
 * In child_init (after all other modules but mod_chroot):
 *     unshare-main, unshare-thread     unshare(CLONE_FS)
 *     chdir-thread                     a thread that chdir()s for ever
 *     chdir-outside                    the same, to a directory by descriptor
 *     open-root, open-root-path        "/" stays open, O_PATH too
 *     open-thread                      the same, in a thread's own table
 *     open-high                        the same, as a high descriptor
 *     fork, fork-twice, fork-clone     a process that stays
 *     thread-late                      threads that are made during the chroot
 *     stop                             stop here, unless ServerRoot has "go-on"
 * In drop_privileges, before mod_unixd; "mpm-only": not in the probe:
 *     capabilities                     are kept over setuid()
 *     seteuid                          only the effective user id changes
 *     linger                           does not come to an end
 *     terminal                         a terminal is opened
 * In drop_privileges, after mod_unixd:
 *     traceable                        by User, as fs.suid_dumpable=1 has it
 * In the parent:
 *     open-jail                        a directory of the jail stays open
 *     daemon-HOOK                      a daemon through drop_privileges, for
 *                                      open_logs, post_config, optional,
 *                                      pre_mpm, child_status, monitor
 *     first, middle, last              when in HOOK daemons are forked
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "http_main.h"
#include "mpm_common.h"
#include "unixd.h"
#include "apr_strings.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

module AP_MODULE_DECLARE_DATA test_attack_module;

APLOG_USE_MODULE(test_attack);

static apr_array_header_t *attacks;
static int daemons;
static int mpm_runs;

static int wanted(const char *name)
{
    int i;

    for (i = 0; attacks != NULL && i < attacks->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(attacks, i, const char *), name) == 0) {
            return 1;
        }
    }
    return 0;
}

static void require(int ok, const char *what)
{
    if (!ok) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, errno, NULL,
                     "the attack itself failed: %s", what);
    }
}

/* ------------------------------------------------------------- child_init */

static void *thread_unshare(void *ready)
{
    require(unshare(CLONE_FS) == 0, "unshare");
    *(volatile int *)ready = 1;
    for (;;) {
        pause();
    }
    return NULL;
}

static void *thread_chdir(void *ready)
{
    int outside = wanted("chdir-outside")
        ? open("/usr/lib", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

    for (;;) {
        if (outside != -1) {
            (void)!fchdir(outside);
        }
        else {
            (void)!chdir("/usr/lib");
            (void)!chdir(".");
            (void)!chdir("..");
            (void)!chdir("../..");
        }
        *(volatile int *)ready = 1;
    }
    return NULL;
}

static void *thread_open(void *ready)
{
    require(unshare(CLONE_FILES) == 0, "unshare");
    require(open("/", O_RDONLY | O_DIRECTORY) != -1, "open");
    *(volatile int *)ready = 1;
    for (;;) {
        pause();
    }
    return NULL;
}

static void *thread_sleeps(void *ready)
{
    *(volatile int *)ready = 1;
    for (;;) {
        pause();
    }
    return NULL;
}

static void *thread_breeds(void *ready)
{
    pthread_t thread;
    volatile int born;
    int i;

    *(volatile int *)ready = 1;
    for (i = 0; i < 300; i++) {
        born = 0;
        if (pthread_create(&thread, NULL, thread_sleeps, (void *)&born) != 0) {
            break;
        }
    }
    for (;;) {
        pause();
    }
    return NULL;
}

static void spawn(void *(*run)(void *))
{
    static volatile int ready;
    pthread_attr_t attr;
    pthread_t thread;

    ready = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 * 1024);
    require(pthread_create(&thread, &attr, run, (void *)&ready) == 0,
            "pthread_create");
    while (!ready) {
        sched_yield();
    }
}

/* A process that stays, and what it must not keep: the listening socket */
static void stay(void)
{
    int fd;

    for (fd = 3; fd < 256; fd++) {
        struct stat st;

        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
            close(fd);
        }
    }
    signal(SIGTERM, SIG_DFL);
    for (;;) {
        pause();
    }
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    pid_t pid = 0;
    int fd;

    if (wanted("unshare-main")) {
        require(unshare(CLONE_FS) == 0, "unshare");
    }
    if (wanted("unshare-thread")) {
        spawn(thread_unshare);
    }
    if (wanted("chdir-thread") || wanted("chdir-outside")) {
        spawn(thread_chdir);
    }
    if (wanted("open-thread")) {
        spawn(thread_open);
    }
    if (wanted("thread-late")) {
        spawn(thread_breeds);
    }
    if (wanted("open-root")) {
        require(open("/", O_RDONLY | O_DIRECTORY) != -1, "open");
    }
    if (wanted("open-root-path")) {
        require(open("/", O_PATH) != -1, "open");
    }
    if (wanted("open-high")) {
        struct rlimit limit;

        getrlimit(RLIMIT_NOFILE, &limit);
        fd = open("/", O_RDONLY | O_DIRECTORY);
        require(fcntl(fd, F_DUPFD, (int)limit.rlim_cur - 1) != -1, "dup");
        close(fd);
        limit.rlim_cur = 256;   /* and now it is above the limit */
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (wanted("fork") && (pid = fork()) == 0) {
        stay();
    }
    if (wanted("fork-clone")
        && (pid = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0)) == 0) {
        stay();
    }
    if (wanted("fork-twice") && (pid = fork()) == 0) {
        if (fork() == 0) {
            stay();
        }
        _exit(0);
    }
    else if (wanted("fork-twice")) {
        waitpid(pid, NULL, 0);
    }
    if (wanted("stop")
        && access(ap_server_root_relative(p, "go-on"), F_OK) == -1) {
        kill(getpid(), SIGSTOP);
    }
}

/* ------------------------------------------------------------- privileges */

static int drop_first(apr_pool_t *p, server_rec *s)
{
    if (wanted("mpm-only") && !mpm_runs) {
        return OK;
    }
    if (wanted("seteuid")) {
        require(setegid(ap_unixd_config.group_id) == 0
                && seteuid(ap_unixd_config.user_id) == 0, "seteuid");
    }
    while (wanted("linger")) {
        prctl(PR_SET_NAME, "lingers");
        pause();
    }
    if (wanted("capabilities")) {
        require(prctl(PR_SET_KEEPCAPS, 1) == 0, "prctl");
    }
    return OK;
}

static int drop_later(apr_pool_t *p, server_rec *s)
{
    if (wanted("terminal") && (mpm_runs || !wanted("mpm-only"))) {
        require(open("/dev/ptmx", O_RDWR | O_NOCTTY) != -1, "open");
    }
    return OK;
}

static int drop_last(apr_pool_t *p, server_rec *s)
{
    if (wanted("traceable")) {
        require(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");
    }
    return OK;
}

/* ---------------------------------------------------------------- daemons */

static void fork_daemon(const char *hook, int when)
{
    apr_pool_t *p = NULL;
    char name[64];

    apr_snprintf(name, sizeof(name), "daemon-%s", hook);
    static const char *const places[] = { "first", "middle", "last" };

    if (!wanted(name) || !wanted(places[when]) || daemons > 3) {
        return;
    }
    daemons++;
    if (fork() == 0) {
        apr_pool_create(&p, NULL);
        (void)prctl(PR_SET_NAME, "attackdaemon");
        /* as mod_fcgid does, it takes no for an answer and goes on */
        (void)prctl(PR_SET_NAME,
                    ap_run_drop_privileges(p, ap_server_conf) == 0
                        ? "attackdropped" : "attackrefused");
        stay();
    }
}

#define HOOKS(when)                                                           \
static int open_logs_##when(apr_pool_t *p, apr_pool_t *l, apr_pool_t *t,      \
                            server_rec *s)                                    \
{ fork_daemon("open_logs", when); return OK; }                                \
static int post_config_##when(apr_pool_t *p, apr_pool_t *l, apr_pool_t *t,    \
                              server_rec *s)                                  \
{ fork_daemon("post_config", when); return OK; }                              \
static void optional_##when(void)                                             \
{ fork_daemon("optional", when); mpm_runs = 1; }                              \
static int pre_mpm_##when(apr_pool_t *p, ap_scoreboard_e type)                \
{ fork_daemon("pre_mpm", when); return OK; }                                  \
static void child_status_##when(server_rec *s, pid_t pid, ap_generation_t g,  \
                                int slot, mpm_child_status status)            \
{ fork_daemon("child_status", when); }                                        \
static int monitor_##when(apr_pool_t *p, server_rec *s)                       \
{ fork_daemon("monitor", when); return OK; }

HOOKS(0)
HOOKS(1)
HOOKS(2)

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    attacks = NULL;
    daemons = mpm_runs = 0;
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    static const char *const after[] = { "mod_chroot.c", NULL };

    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_REALLY_FIRST - 20);
    ap_hook_child_init(child_init, NULL, after, APR_HOOK_REALLY_LAST - 5);
    ap_hook_drop_privileges(drop_first, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_drop_privileges(drop_later, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_drop_privileges(drop_last, NULL, NULL, APR_HOOK_LAST);
#define BOTH(hook)                                                            \
    ap_hook_##hook(hook##_0, NULL, NULL, APR_HOOK_REALLY_FIRST - 10);         \
    ap_hook_##hook(hook##_1, NULL, NULL, APR_HOOK_MIDDLE);                    \
    ap_hook_##hook(hook##_2, NULL, NULL, APR_HOOK_REALLY_LAST + 10)
    BOTH(open_logs);
    BOTH(post_config);
    BOTH(pre_mpm);
    BOTH(child_status);
    BOTH(monitor);
    ap_hook_optional_fn_retrieve(optional_0, NULL, NULL,
                                 APR_HOOK_REALLY_FIRST - 10);
    ap_hook_optional_fn_retrieve(optional_1, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_optional_fn_retrieve(optional_2, NULL, NULL,
                                 APR_HOOK_REALLY_LAST + 10);
}

static const char *cmd_attack(cmd_parms *cmd, void *unused, const char *arg)
{
    if (attacks == NULL) {
        attacks = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(attacks, const char *) = arg;
    if (strcmp(arg, "open-jail") == 0) {
        require(open(ap_server_root_relative(cmd->pool, "jail"),
                     O_RDONLY | O_DIRECTORY) != -1, "open");
    }
    return NULL;
}

static const command_rec commands[] = {
    AP_INIT_ITERATE("TestAttack", cmd_attack, NULL, RSRC_CONF, "what to do"),
    {NULL}
};

module AP_MODULE_DECLARE_DATA test_attack_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, register_hooks,
    AP_MODULE_FLAG_NONE
};
