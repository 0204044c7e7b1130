/* cli/contexts_test: the file of contexts, good and bad, and which daemon it leads to. */
#include "cli/contexts.h"

#include "cli/cli.h"
#include "json/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/contexts-XXXXXX";
static char model_dir[64], file[96];

static void put(const char *text)
{
    mkdir(model_dir, 0700);
    FILE *f = fopen(file, "w");
    fputs(text, f);
    fclose(f);
}

static const struct {
    const char *name, *text, *error; /* part of it; NULL: it is read */
} files[] = {
    {"empty list", "{\"version\":1,\"contexts\":{}}", NULL},
    {"no list", "{\"version\":1}", NULL},
    {"one", "{\"version\":1,\"current\":\"a\",\"contexts\":{\"a\":{\"host\":\"http://h\",\"x\":1}}}", NULL},
    {"empty", "", "repair it or remove it"},
    {"cut", "{\"version\":1,\"cont", "repair it or remove it"},
    {"not an object", "[1]", "not a list of contexts"},
    {"no version", "{\"contexts\":{}}", "version"},
    {"of the future", "{\"version\":2,\"contexts\":{}}", "has version 2; this version of Tug reads version 1"},
    {"contexts of a wrong type", "{\"version\":1,\"contexts\":[]}", "contexts"},
    {"a context of a wrong type", "{\"version\":1,\"contexts\":{\"a\":5}}", "a"},
    {"without a host", "{\"version\":1,\"contexts\":{\"a\":{}}}", "host"},
    {"host of a wrong type", "{\"version\":1,\"contexts\":{\"a\":{\"host\":5}}}", "host"},
    {"current of a wrong type", "{\"version\":1,\"current\":{},\"contexts\":{}}", "current"},
};

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        json_t *root = NULL;
        struct err err = ERR_INIT;
        put(files[i].text);
        bool ok = contexts_read(dir, &root, &err);
        bool right = ok == (files[i].error == NULL);
        if (!right || (!ok && (strstr(err.text, files[i].error) == NULL || strstr(err.text, file) == NULL)))
            fail_msg("%s: ok=%d %s", files[i].name, ok, err.text);
        json_free(&root);
    }
}

static bool change_refused(json_t *root, void *ctx, struct err *err)
{
    (void)ctx;
    json_object_clear(root);
    return err_set(err, ERR_CONFLICT, "no");
}

static bool change_current(json_t *root, void *ctx, struct err *err)
{
    (void)err;
    json_object_set_new(root, "current", json_string(ctx));
    return true;
}

static void test_change(void **state)
{
    (void)state;
    json_t *root = NULL;
    struct stat st;
    put("{\"version\":1,\"later\":7,\"contexts\":{\"a\":{\"host\":\"http://h\",\"later\":8}}}");
    assert_false(contexts_change(dir, change_refused, NULL, NULL));
    assert_true(contexts_change(dir, change_current, (void *)"a", NULL));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(contexts_read(dir, &root, NULL));
    assert_string_equal(contexts_current(root), "a");
    assert_int_equal(json_integer_value(json_object_get(root, "later")), 7);
    assert_int_equal(json_integer_value(json_object_get(contexts_find(root, "a"), "later")), 8);
    assert_null(contexts_find(root, "b"));
    json_free(&root);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "A1", "0x", "my-host_2.b", "default"};
    static const char *const bad[] = {"", "-a", ".a", "_a", "a b", "a/b", "../x", "ä", "a\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(contexts_name_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (contexts_name_valid(bad[i]))
            fail_msg("%s", bad[i]);
    char long_name[200];
    memset(long_name, 'a', sizeof long_name);
    long_name[129] = '\0';
    assert_false(contexts_name_valid(long_name));
    long_name[128] = '\0';
    assert_true(contexts_name_valid(long_name));
}

#define OFFICE                                                                                                         \
    "{\"version\":1,\"current\":\"office\",\"contexts\":{\"office\":{\"host\":\"https://h:1/p/\",\"tls\":{"            \
    "\"enabled\":true,\"skipVerify\":true,\"caCert\":\"/ca\"}},\"sock\":{\"host\":\"unix:///s\"}}}"

static const struct locate_row {
    const char *name, *file, *host, *tls, *skip, *ca; /* the file, and the environment */
    const char *url, *socket, *context, *ca_cert;     /* expected; url NULL: an error */
    bool any;
} locate_rows[] = {
    {"nothing said", NULL, NULL, NULL, NULL, NULL, "http://localhost:12434", "", "", "", false},
    {"default", "{\"version\":1}", NULL, NULL, NULL, NULL, "http://localhost:12434", "", "", "", false},
    {"host alone", NULL, "h:5", NULL, NULL, NULL, "http://h:5", "", "", "", false},
    {"with TLS", NULL, "h:5", "true", "1", "/x", "https://h:5", "", "", "/x", true},
    {"scheme wins", NULL, "http://h:5", "true", NULL, NULL, "http://h:5", "", "", "", false},
    {"prefix kept", NULL, "http://h:5/a/b//", NULL, NULL, NULL, "http://h:5/a/b", "", "", "", false},
    {"unix", NULL, "unix:///run/x.sock", NULL, NULL, NULL, "http://localhost", "/run/x.sock", "", "", false},
    {"unix, short", NULL, "unix:/run/x.sock", NULL, NULL, NULL, "http://localhost", "/run/x.sock", "", "", false},
    {"no address", NULL, "http://", NULL, NULL, NULL, NULL, NULL, NULL, NULL, false},
    {"not a bool", NULL, "h:5", "perhaps", NULL, NULL, NULL, NULL, NULL, NULL, false},
    {"context", OFFICE, NULL, NULL, NULL, NULL, "https://h:1/p", "", "office", "/ca", true},
    {"environment over context", OFFICE, "e:2", NULL, NULL, NULL, "http://e:2", "", "", "", false},
    {"TLS of the environment", OFFICE, NULL, NULL, "false", "/y", "https://h:1/p", "", "office", "/y", false},
    {"context is gone", "{\"version\":1,\"current\":\"x\"}", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false},
    {"broken file", "{", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false},
    {"broken file, but named", "{", "h:5", NULL, NULL, NULL, "http://h:5", "", "", "", false},
};

static void set(const char *name, const char *value)
{
    if (value == NULL)
        unsetenv(name);
    else
        setenv(name, value, 1);
}

static void test_locate(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof locate_rows / sizeof locate_rows[0]; i++) {
        const struct locate_row *row = &locate_rows[i];
        struct cli cli = {.home = dir, .docker_config = dir, .program = "tug"};
        struct err err = ERR_INIT;
        unlink(file);
        if (row->file != NULL)
            put(row->file);
        set("MODEL_RUNNER_HOST", row->host);
        set("MODEL_RUNNER_TLS", row->tls);
        set("MODEL_RUNNER_TLS_SKIP_VERIFY", row->skip);
        set("MODEL_RUNNER_TLS_CA_CERT", row->ca);
        bool ok = cli_locate(&cli, &err);
        if (ok != (row->url != NULL) || (!ok && err.text[0] == '\0'))
            fail_msg("%s: ok=%d %s", row->name, ok, err.text);
        if (ok && (strcmp(cli.base_url, row->url) != 0 || strcmp(cli.socket, row->socket) != 0 ||
                   strcmp(cli.context, row->context) != 0 || strcmp(cli.ca_cert, row->ca_cert) != 0 ||
                   cli.tls_any != row->any))
            fail_msg("%s: %s '%s' '%s' '%s' %d", row->name, cli.base_url, cli.socket, cli.context, cli.ca_cert,
                     cli.tls_any);
    }
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(model_dir, sizeof model_dir, "%s/model", dir);
    snprintf(file, sizeof file, "%s/contexts.json", model_dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char lock[96];
    snprintf(lock, sizeof lock, "%s/contexts.lock", model_dir);
    unlink(lock);
    unlink(file);
    rmdir(model_dir);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files), cmocka_unit_test(test_change),
                                       cmocka_unit_test(test_names), cmocka_unit_test(test_locate)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
