/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * Stops a child at a chosen moment of its start, so that a test can attach to
 * it, look at it, or kill it.
 *
 *     TestGate DIR
 *
 * A file DIR/POINT arms a gate: the next process that comes along renames it
 * to DIR/POINT.PID and stops itself. Several at once: POINT.1 and so on up to
 * POINT.9 are gates as well. The points, in the order of a child's life:
 *
 *     probe     drop_privileges, first, of what is forked before the MPM runs
 *     drop      drop_privileges, before every other module, root
 *     dropped   drop_privileges, after every other module, User
 *     init      child_init, before every other module
 */

#include "httpd.h"
#include "http_config.h"
#include "mpm_common.h"
#include "apr_strings.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

module AP_MODULE_DECLARE_DATA test_gate_module;

static const char *directory;
static int mpm_runs;

static int try_gate(const char *point)
{
    char armed[512], caught[512];

    apr_snprintf(armed, sizeof(armed), "%s/%s", directory, point);
    apr_snprintf(caught, sizeof(caught), "%s.%ld", armed, (long)getpid());
    if (rename(armed, caught) == -1) {
        return 0;
    }
    kill(getpid(), SIGSTOP);
    return 1;
}

static void gate(const char *point)
{
    char name[32];
    int i;

    if (directory == NULL || try_gate(point)) {
        return;
    }
    for (i = 1; i < 10; i++) {
        apr_snprintf(name, sizeof(name), "%s.%d", point, i);
        if (try_gate(name)) {
            return;
        }
    }
}

static int drop_first(apr_pool_t *p, server_rec *s)
{
    gate(mpm_runs ? "drop" : "probe");
    return OK;
}

static int drop_last(apr_pool_t *p, server_rec *s)
{
    if (mpm_runs) {
        gate("dropped");
    }
    return OK;
}

static void init_first(apr_pool_t *p, server_rec *s)
{
    gate("init");
}

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    directory = NULL;
    mpm_runs = 0;
    return OK;
}

static void last_before_mpm(void)
{
    mpm_runs = 1;
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_optional_fn_retrieve(last_before_mpm, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_drop_privileges(drop_first, NULL, NULL, APR_HOOK_REALLY_FIRST - 10);
    ap_hook_drop_privileges(drop_last, NULL, NULL, APR_HOOK_REALLY_LAST + 10);
    ap_hook_child_init(init_first, NULL, NULL, APR_HOOK_REALLY_FIRST - 10);
}

static const char *cmd_gate(cmd_parms *cmd, void *unused, const char *arg)
{
    directory = arg;
    return NULL;
}

static const command_rec commands[] = {
    AP_INIT_TAKE1("TestGate", cmd_gate, NULL, RSRC_CONF, "a directory"),
    {NULL}
};

module AP_MODULE_DECLARE_DATA test_gate_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, register_hooks,
    AP_MODULE_FLAG_NONE
};
