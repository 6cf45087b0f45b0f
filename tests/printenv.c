/* A CGI program that prints its environment; static, for an empty jail. */
#include <stdio.h>

extern char **environ;

int main(void)
{
    char **variable;

    puts("Content-Type: text/plain\n");
    for (variable = environ; *variable != NULL; variable++) {
        puts(*variable);
    }
    return 0;
}
