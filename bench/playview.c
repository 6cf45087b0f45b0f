/* Preloaded into httpd under valgrind, which knows neither the clone(2) nor the
 * mount calls by which a view is built: plays the kernel for the builder. The
 * view that it finds is the directory PLAYVIEW, which mount(8) has made with the
 * same names; planning, entering, verifying and serving are mod_chroot's own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int playing;

static int is_root(const char *path)
{
    return strcmp(path, "/") == 0 || strcmp(path, "..") == 0;
}

/* The builder runs in this process; a child that ends at once is waited for. */
int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    pid_t pid;

    if (!(flags & CLONE_NEWNS) || getenv("PLAYVIEW") == NULL) {
        errno = ENOSYS; /* a jail is not sealed, and the rest is late chroot */
        return -1;
    }
    playing = 1;
    (void)function(argument);
    playing = 0;
    (void)alarm(0);
    pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid;
}

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    const char *path;
    long a[6];
    va_list list;
    int i;

    va_start(list, number);
    for (i = 0; i < 6; i++) {
        a[i] = va_arg(list, long);
    }
    va_end(list);
    if (real == NULL) {
        real = (long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
    }
    if (!playing || number == SYS_openat) {
        return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    switch (number) {
    case SYS_fsmount:
        return open(getenv("PLAYVIEW"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    case SYS_fsopen:
    case SYS_open_tree:
        return open("/", O_PATH | O_CLOEXEC);
#ifdef SYS_openat2
    case SYS_openat2:
        path = (const char *)a[1];
        return (int)a[0] == AT_FDCWD
                   ? open(path, O_PATH | O_CLOEXEC)
                   : openat((int)a[0], path + 1, O_PATH | O_CLOEXEC);
#endif
    default:
        return 0;
    }
}

int chroot(const char *path)
{
    return playing ? 0 : (int)syscall(SYS_chroot, path);
}

int fchdir(int fd)
{
    return playing ? 0 : (int)syscall(SYS_fchdir, fd);
}

int stat(const char *path, struct stat *st)
{
    return fstatat(AT_FDCWD, playing && is_root(path) ? getenv("PLAYVIEW")
                                                      : path, st, 0);
}
