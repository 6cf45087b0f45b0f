/* A CGI program that tries the known ways out of a jail; static, for an empty
 * one. The query says what there is outside: secret, the path of a file that
 * everybody may read, without the first "/"; pid, a process with the same user
 * id, that has a directory open as fd and memory at address; parent, httpd's;
 * abstract, path and port, sockets that somebody listens on; memory and
 * semaphores, System V's; and if not all ways shall be tried, only one.
 *
 * One line for each way: its name, and ok or the error. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#define DESCRIPTORS 1024
#define LEVELS      64

static const char *given(const char *name)
{
    const char *query = getenv("QUERY_STRING");
    static char value[512];
    size_t length = strlen(name);

    while (query != NULL && *query != '\0') {
        if (strncmp(query, name, length) == 0 && query[length] == '=') {
            snprintf(value, sizeof(value), "%s", query + length + 1);
            value[strcspn(value, "&")] = '\0';
            return value;
        }
        query += strcspn(query, "&");
        query += *query == '&';
    }
    return "";
}

static long number(const char *name)
{
    return strtol(given(name), NULL, 0);
}

/* Climbs from a directory as far as it goes, and opens the secret file. */
static int climb(int fd)
{
    int up, level;

    fd = openat(fd, ".", O_RDONLY | O_DIRECTORY);
    for (level = 0; fd != -1 && level < LEVELS; level++) {
        up = openat(fd, "..", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = up;
    }
    return fd != -1 ? openat(fd, given("secret"), O_RDONLY) : -1;
}

static int try_dot_dot(void)
{
    return climb(AT_FDCWD);
}

static int try_descriptors(void)
{
    int fd, found = -1, error = EBADF;

    for (fd = 0; fd < DESCRIPTORS && found == -1; fd++) {
        found = climb(fd);
        if (found == -1 && fchdir(fd) == 0) {
            found = climb(AT_FDCWD);
        }
        if (errno != EBADF) {
            error = errno;
        }
    }
    errno = error;
    return found;
}

/* The classic: needs CAP_SYS_CHROOT */
static int try_second_chroot(void)
{
    char name[] = "/tmp/XXXXXX";
    int here = open("/", O_RDONLY | O_DIRECTORY), rv = -1, error;

    if (mkdtemp(name) == NULL) {
        return -1;
    }
    if (chroot(name) == 0 && fchdir(here) == 0) {
        rv = climb(AT_FDCWD);
    }
    error = errno;
    unlinkat(here, name + 1, AT_REMOVEDIR);
    errno = error;
    return rv;
}

static int climb_from(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY);

    return fd != -1 ? climb(fd) : -1;
}

static int through_proc(long process)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%ld/root", process);
    return climb_from(path);
}

static int try_proc_1(void)
{
    return through_proc(1);
}

static int try_proc_parent(void)
{
    return through_proc(number("parent"));
}

static int try_proc_pid(void)
{
    return through_proc(number("pid"));
}

/* Somebody outside moves a directory out of the jail, in which we stand */
static int try_moved(void)
{
    if (chdir("/tmp/moving") == -1 || creat("ready", 0600) == -1) {
        return -1;
    }
    while (access("/tmp/moving", F_OK) == 0) {
        usleep(1000);
    }
    return climb(AT_FDCWD);
}

/* ------------------------------------------------ mounts and name spaces */

static int try_mount(void)
{
    return mount("proc", "/tmp", "proc", 0, NULL);
}

static int try_new_mount_api(void)
{
    return fsopen("proc", 0);
}

static int try_open_tree(void)
{
    return open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE);
}

static int try_pivot_root(void)
{
    return syscall(SYS_pivot_root, "/", "/tmp");
}

static int try_unshare(void)
{
    return unshare(CLONE_NEWNS);
}

/* Its root would have CAP_SYS_CHROOT */
static int try_user_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static int clone_main(void *unused)
{
    (void)unused;
    return 0;
}

static int try_clone_user_namespace(void)
{
    static char stack[65536] __attribute__((aligned(16)));

    return clone(clone_main, stack + sizeof(stack), CLONE_NEWUSER | SIGCHLD,
                 NULL);
}

static int try_setns(void)
{
    int process = (int)syscall(SYS_pidfd_open, number("pid"), 0);

    return process != -1 ? setns(process, CLONE_NEWNS) : -1;
}

static int try_device(void)
{
    return mknod("/tmp/device", S_IFCHR | 0666, makedev(1, 3));
}

/* The root of a file system is inode 2 of ext4 */
static int try_file_handle(void)
{
    struct {
        struct file_handle handle;
        unsigned inode[2];
    } root = { { sizeof(root.inode), 1 }, { 2, 0 } };
    int fd = open_by_handle_at(open("/", O_RDONLY | O_DIRECTORY),
                               &root.handle, O_RDONLY | O_DIRECTORY);

    return fd != -1 ? climb(fd) : -1;
}

/* -------------------------------------------------------- other processes */

static int attach(long process)
{
    return (int)ptrace(PTRACE_SEIZE, process, NULL, NULL);
}

static int try_ptrace(void)
{
    return attach(number("pid"));
}

static int try_ptrace_parent(void)
{
    return attach(number("parent"));
}

static int try_read_memory(void)
{
    char bytes[8];
    struct iovec here = { bytes, sizeof(bytes) };
    struct iovec there = { (void *)number("address"), sizeof(bytes) };

    return process_vm_readv(number("pid"), &here, 1, &there, 1, 0);
}

static int try_take_descriptor(void)
{
    int process = (int)syscall(SYS_pidfd_open, number("pid"), 0);
    int fd = process != -1
                 ? (int)syscall(SYS_pidfd_getfd, process, (int)number("fd"), 0)
                 : -1;

    return fd != -1 ? climb(fd) : -1;
}

static int try_signal(void)
{
    return kill(number("pid"), 0);
}

static int try_signal_parent(void)
{
    return kill(number("parent"), 0);
}

/* ---------------------------------------------------------------- sockets */

static int connect_unix(const char *name, int abstract)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path + abstract, sizeof(address.sun_path) - abstract,
             "%s", name);
    if (connect(fd, (struct sockaddr *)&address,
                sizeof(sa_family_t) + abstract + strlen(name)) == -1) {
        return -1;
    }
    return fd;
}

static int try_path_socket(void)
{
    return connect_unix(given("path"), 0);
}

static int try_abstract_socket(void)
{
    return connect_unix(given("abstract"), 1);
}

/* Who listens there may hand over a directory */
static int try_passed_descriptor(void)
{
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec data = { &byte, 1 };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1,
                              .msg_control = control,
                              .msg_controllen = sizeof(control) };
    int fd = connect_unix(given("abstract"), 1);

    if (fd == -1 || recvmsg(fd, &message, 0) == -1) {
        return -1;
    }
    if (CMSG_FIRSTHDR(&message) == NULL) {
        errno = ENOMSG;
        return -1;
    }
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return climb(fd);
}

static int try_tcp(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_port = htons(number("port"));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

/* ----------------------------------------------------------- System V IPC */

static int try_shared_memory(void)
{
    return shmat(number("memory"), NULL, 0) != (void *)-1 ? 0 : -1;
}

static int try_semaphores(void)
{
    return semctl(number("semaphores"), 0, GETVAL);
}

static const struct {
    const char *name;
    int (*attempt)(void);
} ways[] = {
    { "dot-dot", try_dot_dot },
    { "inherited-descriptors", try_descriptors },
    { "second-chroot", try_second_chroot },
    { "proc-1", try_proc_1 },
    { "proc-parent", try_proc_parent },
    { "proc-pid", try_proc_pid },
    { "directory-moved-out", try_moved },
    { "mount", try_mount },
    { "fsopen", try_new_mount_api },
    { "open_tree", try_open_tree },
    { "pivot_root", try_pivot_root },
    { "unshare-mounts", try_unshare },
    { "unshare-users", try_user_namespace },
    { "clone-users", try_clone_user_namespace },
    { "setns", try_setns },
    { "mknod", try_device },
    { "open_by_handle_at", try_file_handle },
    { "ptrace", try_ptrace },
    { "ptrace-parent", try_ptrace_parent },
    { "process_vm_readv", try_read_memory },
    { "pidfd_getfd", try_take_descriptor },
    { "signal", try_signal },
    { "signal-parent", try_signal_parent },
    { "path-socket", try_path_socket },
    { "abstract-socket", try_abstract_socket },
    { "passed-descriptor", try_passed_descriptor },
    { "tcp", try_tcp },
    { "shared-memory", try_shared_memory },
    { "semaphores", try_semaphores },
};

/* In a process of its own, and not for ever */
static int outcome(int (*attempt)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(10);
        errno = 0;
        _exit(attempt() == -1 ? errno : 0);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return ETIME;
    }
    return WEXITSTATUS(status);
}

int main(void)
{
    const char *only = given("only");
    struct stat st;
    size_t i;
    int fd, rv;

    puts("Content-Type: text/plain\n");
    for (fd = 0; fd < DESCRIPTORS; fd++) {
        if (fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode)) {
            printf("descriptor %d: %o\n", fd, st.st_mode & S_IFMT);
        }
    }
    for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (*only != '\0' && strcmp(only, ways[i].name) != 0) {
            continue;
        }
        fflush(stdout);
        rv = outcome(ways[i].attempt);
        printf("%s: %s\n", ways[i].name, rv ? strerrorname_np(rv) : "ok");
    }
    return 0;
}
