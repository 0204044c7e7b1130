/* daemon/notify.c: telling those who wait that the daemon runs: systemd, and who started it with a descriptor. */
#include "daemon/daemon_parts.h"

#include "platform/file.h"
#include "platform/process.h"
#include "platform/socket.h"

#include <string.h>

void notify_system(const char *text)
{
    const char *path = process_env("NOTIFY_SOCKET");
    if (path != NULL)
        socket_send_datagram(path, text, strlen(text), NULL); /* who does not listen any more need not know */
}

void notify_fd(int *fd, const char *word, const char *text)
{
    char line[ERR_TEXT_MAX + 16];
    size_t n = 0;
    if (*fd < 0)
        return;
    for (const char *parts[] = {word, text[0] == '\0' ? "" : " ", text}, **p = parts; p < parts + 3; p++)
        for (const char *c = *p; *c != '\0' && n < sizeof line - 1; c++)
            line[n++] = *c == '\n' ? ' ' : *c;
    line[n++] = '\n';
    socket_write_all(*fd, line, n, NULL);
    file_close(fd);
}
