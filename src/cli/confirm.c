/* cli/confirm.c: a question before something is lost. */
#include "cli/confirm.h"

#include <stdio.h>

bool cli_confirm(const char *warning)
{
    char line[16] = "";
    printf("WARNING! %s\nAre you sure you want to continue? [y/N] ", warning);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        line[0] = '\0';
    bool yes = line[0] == 'y' || line[0] == 'Y';
    if (!yes)
        printf("Operation cancelled.\n");
    return yes;
}
