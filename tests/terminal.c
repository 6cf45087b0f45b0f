/* A CGI program that types into the terminals it can reach: descriptors that it
 * was given, and /dev/tty. Static, for an empty jail. Says "typed" or "nothing
 * to type into". */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(void)
{
    int typed = 0, fd;

    (void)open("/dev/tty", O_RDWR);
    for (fd = 0; fd < 256; fd++) {
        typed += ioctl(fd, TIOCSTI, "#") == 0;
    }
    printf("Content-Type: text/plain\n\n%s",
           typed ? "typed" : "nothing to type into");
    return 0;
}
