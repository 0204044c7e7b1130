/* cli/ui/view.c: see view.h. */
#include "cli/ui/view.h"

#include <stdio.h>

#define VIEW_GREY  "\x1b[90m"
#define VIEW_ASIDE "\x1b[3;90m"
#define VIEW_CODE  "\x1b[36m"
#define VIEW_PLAIN "\x1b[0m"

enum { VIEW_FENCE = 3 };

static void view_backticks(struct chat_view *v)
{
    for (; v->backticks > 0; v->backticks--)
        putchar('`');
}

/* Backticks that begin a line wait until there are three, or none could follow. */
static void view_coloured(struct chat_view *v, char c)
{
    if (!v->within && c == '`' && v->backticks < VIEW_FENCE) {
        if (++v->backticks < VIEW_FENCE)
            return;
        if (!v->in_code)
            fputs(VIEW_CODE, stdout);
        v->in_code = !v->in_code;
        v->fence = true;
        v->within = true;
        view_backticks(v);
        return;
    }
    view_backticks(v);
    if (c == '\n' && v->fence && !v->in_code)
        fputs(VIEW_PLAIN, stdout);
    v->within = c != '\n';
    v->fence = v->fence && c != '\n';
    putchar(c);
}

static void view_answer(struct chat_view *v, const char *text)
{
    if (!v->colour) {
        fputs(text, stdout);
        return;
    }
    for (; *text != '\0'; text++)
        view_coloured(v, *text);
}

void chat_show(void *ctx, enum chat_piece kind, const char *text)
{
    struct chat_view *v = ctx;
    if (kind == CHAT_PIECE_REASONING && !v->thinking)
        printf("Thinking:\n%s", v->colour ? VIEW_ASIDE : "");
    if (kind != CHAT_PIECE_REASONING && v->thinking)
        printf("%s\n\n--\n\n", v->colour ? VIEW_PLAIN : "");
    v->thinking = kind == CHAT_PIECE_REASONING;
    if (kind == CHAT_PIECE_USAGE)
        printf("\n\n%s%s%s", v->colour ? VIEW_GREY : "", text, v->colour ? VIEW_PLAIN : "");
    else if (kind == CHAT_PIECE_REASONING)
        fputs(text, stdout);
    else
        view_answer(v, text);
    fflush(stdout);
}

void chat_show_end(struct chat_view *v)
{
    view_backticks(v);
    if (v->colour && (v->in_code || v->fence || v->thinking))
        fputs(VIEW_PLAIN, stdout);
    *v = (struct chat_view){.colour = v->colour};
    fflush(stdout);
}
