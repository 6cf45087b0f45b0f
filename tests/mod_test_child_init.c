/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * A module that looks around in child_init, as those do that start an
 * interpreter or open a database there, and writes down what it found.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"

#include <sys/stat.h>
#include <unistd.h>

module AP_MODULE_DECLARE_DATA test_child_init_module;

static void look_around(apr_pool_t *p, server_rec *s)
{
    struct stat root, cwd;

    if (stat("/", &root) == -1 || stat(".", &cwd) == -1) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s, "child_init: stat");
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                 "child_init: root %lu:%lu cwd %lu:%lu uid %d euid %d",
                 (unsigned long)root.st_dev, (unsigned long)root.st_ino,
                 (unsigned long)cwd.st_dev, (unsigned long)cwd.st_ino,
                 (int)getuid(), (int)geteuid());
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_child_init(look_around, NULL, NULL, APR_HOOK_LAST);
}

module AP_MODULE_DECLARE_DATA test_child_init_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
    AP_MODULE_FLAG_NONE
};
