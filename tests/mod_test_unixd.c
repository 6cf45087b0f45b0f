/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * mod_unixd as a DSO, as far as ChrootDir goes: httpd calls the handler of
 * every module that registers a directive, in the order of loading. This one
 * accepts and refuses what unixd_set_chroot_dir() of httpd's mod_unixd.c does.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "unixd.h"

module AP_MODULE_DECLARE_DATA test_unixd_module;

static const char *cmd_chroot_dir(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (err != NULL) {
        return err;
    }
    if (!ap_is_directory(cmd->pool, arg)) {
        return "ChrootDir must be a valid directory";
    }
    ap_unixd_config.chroot_dir = arg;
    return NULL;
}

static const command_rec commands[] = {
    AP_INIT_TAKE1("ChrootDir", cmd_chroot_dir, NULL, RSRC_CONF, "a directory"),
    {NULL}
};

module AP_MODULE_DECLARE_DATA test_unixd_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, NULL,
    AP_MODULE_FLAG_NONE
};
