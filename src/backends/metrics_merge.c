/* backends/metrics_merge.c: the Prometheus texts of several engines as one, with a label that says whose a sample is.
 *
 * The text format wants all samples of a metric in one group, so the texts are taken apart by
 * metric and written together. What engines say is not trusted: sizes and names have limits.
 */
#include "backends/backend.h"
#include "base/check.h"
#include "base/text.h"

#include <string.h>

bool metrics_label_value(struct buf *out, const char *s)
{
    bool ok = buf_add_char(out, '"');
    for (; *s != '\0'; s++) {
        if (*s == '\\' || *s == '"')
            ok = ok && buf_add_char(out, '\\') && buf_add_char(out, *s);
        else if (*s == '\n')
            ok = ok && buf_add_str(out, "\\n");
        else
            ok = ok && buf_add_char(out, *s);
    }
    return ok && buf_add_char(out, '"');
}

struct family {
    char name[128];
    struct buf head, samples; /* HELP and TYPE lines; the samples with their label */
};

struct metrics_merge {
    struct family families[LIMIT_METRIC_FAMILIES];
    size_t n;
};

struct metrics_merge *metrics_merge_new(void) { return check_alloc(calloc(1, sizeof(struct metrics_merge))); }

void metrics_merge_free(struct metrics_merge **mm)
{
    for (size_t i = 0; *mm != NULL && i < (*mm)->n; i++) {
        buf_done(&(*mm)->families[i].head);
        buf_done(&(*mm)->families[i].samples);
    }
    free(*mm);
    *mm = NULL;
}

static size_t name_length(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789");
}

static struct family *family_find(struct metrics_merge *mm, const char *name, size_t len)
{
    for (size_t i = 0; i < mm->n; i++)
        if (strlen(mm->families[i].name) == len && memcmp(mm->families[i].name, name, len) == 0)
            return &mm->families[i];
    return NULL;
}

/* A histogram's and a summary's samples have names of their own. */
static struct family *family_of_sample(struct metrics_merge *mm, const char *name, size_t len)
{
    static const char *const endings[] = {"", "_bucket", "_sum", "_count"};
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        size_t cut = strlen(endings[i]);
        if (len <= cut || memcmp(name + len - cut, endings[i], cut) != 0)
            continue;
        struct family *f = family_find(mm, name, len - cut);
        if (f != NULL)
            return f;
    }
    return NULL;
}

static struct family *family_add(struct metrics_merge *mm, const char *name, size_t len)
{
    if (mm->n == LIMIT_METRIC_FAMILIES || len == 0 || len >= sizeof mm->families[0].name)
        return NULL;
    struct family *f = &mm->families[mm->n++];
    memcpy(f->name, name, len);
    f->name[len] = '\0';
    f->head = BUF_INIT(4096);
    f->samples = BUF_INIT(LIMIT_BACKENDS * 65536);
    return f;
}

/* "# HELP name text", "# TYPE name type": the first engine's word counts. Other comments are dropped. */
static void merge_comment(struct metrics_merge *mm, const char *line, size_t len)
{
    if (!text_starts(line, "# HELP ") && !text_starts(line, "# TYPE "))
        return;
    const char *name = line + strlen("# HELP ");
    size_t n = name_length(name);
    struct family *f = family_find(mm, name, n);
    if (f == NULL)
        f = family_add(mm, name, n);
    if (f == NULL || n == 0)
        return;
    if (f->head.len > 0 && strstr(f->head.data, line[2] == 'H' ? "# HELP " : "# TYPE ") != NULL)
        return;
    buf_add(&f->head, line, len);
    buf_add_char(&f->head, '\n');
}

/* `name value` and `name{labels} value` become `name{model="…",labels} value`; n: the name's length. */
static bool sample_write(struct buf *out, const char *line, size_t n, const char *model)
{
    const char *rest = line + n;
    if (!buf_add(out, line, n) || !buf_add_str(out, "{model=") || !metrics_label_value(out, model))
        return false;
    char before = '}'; /* what stands between our label and the rest */
    if (*rest == '{') {
        rest += 1 + strspn(rest + 1, " ");
        before = ',';
    }
    return ((before == ',' && *rest == '}') || buf_add_char(out, before)) && buf_add_str(out, rest) &&
           buf_add_char(out, '\n');
}

static void merge_sample(struct metrics_merge *mm, const char *line, const char *model)
{
    size_t n = name_length(line);
    if (n == 0 || strchr("{ \t", line[n]) == NULL || line[n] == '\0')
        return;
    struct family *f = family_of_sample(mm, line, n);
    if (f == NULL)
        f = family_add(mm, line, n);
    if (f == NULL)
        return;
    size_t before = f->samples.len;
    if (!sample_write(&f->samples, line, n, model))
        f->samples.len = before; /* no half lines */
}

void metrics_merge_add(struct metrics_merge *mm, const char *text, const char *model)
{
    struct buf line = BUF_INIT(16384);
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        buf_clear(&line);
        if (len > 0 && buf_add(&line, text, len)) {
            if (line.data[len - 1] == '\r')
                line.data[--line.len] = '\0';
            if (line.data[0] == '#')
                merge_comment(mm, line.data, line.len);
            else
                merge_sample(mm, line.data, model);
        }
        text += len + (text[len] == '\n');
    }
    buf_done(&line);
}

bool metrics_merge_write(const struct metrics_merge *mm, struct buf *out)
{
    for (size_t i = 0; i < mm->n; i++) {
        const struct family *f = &mm->families[i];
        if (f->samples.len == 0)
            continue;
        if (!buf_add_str(out, buf_str(&f->head)) || !buf_add(out, f->samples.data, f->samples.len))
            return false;
    }
    return true;
}
