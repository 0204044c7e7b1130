/* registry/credentials_test.c: files as docker and podman write them, helpers that work and that do not. */
#include "base/base64.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "platform/file.h"
#include "registry/credentials.h"
#include "json/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[64];

static void test_base64(void **state)
{
    static const struct {
        const char *text, *plain; /* NULL: refused */
    } rows[] = {
        {"", ""},           {"Zg==", "f"},         {"Zm8=", "fo"},      {"Zm9v", "foo"},
        {"Zm9vYg", "foob"}, {"dTpwOnE=", "u:p:q"}, {"dTpwAAA=", "u:p"}, {"Z", NULL},
        {"Zm9v!", NULL},    {"Zm 9v", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_(buf_done) struct buf b = BUF_INIT(100);
        if (base64_decode(&b, rows[i].text) != (rows[i].plain != NULL) ||
            (rows[i].plain != NULL && strcmp(buf_str(&b), rows[i].plain) != 0))
            fail_msg("'%s' gave '%s'", rows[i].text, buf_str(&b));
    }
    _cleanup_(buf_done) struct buf b = BUF_INIT(100);
    assert_true(base64_encode(&b, "user:pass", 9));
    assert_string_equal(buf_str(&b), "dXNlcjpwYXNz");
}

static void test_pick(void **state)
{
    static const struct {
        const char *name, *config, *host, *user, *password, *identity, *bearer, *helper, *key;
    } rows[] = {
        {"exact", "{'auths':{'r.io:5000':{'auth':'dTpwOnE='}}}", "r.io:5000", "u", "p:q", NULL, NULL, NULL, NULL},
        {"a URL as key", "{'auths':{'https://r.io/v1/':{'auth':'dTpw'}}}", "r.io", "u", "p", NULL, NULL, NULL, NULL},
        {"exact beats URL", "{'auths':{'https://r.io/v2/':{'auth':'eDp5'},'r.io':{'auth':'dTpw'}}}", "r.io", "u", "p",
         NULL, NULL, NULL, NULL},
        {"the port counts", "{'auths':{'r.io':{'auth':'dTpw'}}}", "r.io:5000", NULL, NULL, NULL, NULL, NULL, NULL},
        {"Docker Hub", "{'auths':{'https://index.docker.io/v1/':{'auth':'dTpw'}}}", "docker.io", "u", "p", NULL, NULL,
         NULL, NULL},
        {"username and password", "{'auths':{'r.io':{'username':'u','password':'p'}}}", "r.io", "u", "p", NULL, NULL,
         NULL, NULL},
        {"identity token", "{'auths':{'r.io':{'auth':'dTpw','identitytoken':'it'}}}", "r.io", "u", "p", "it", NULL,
         NULL, NULL},
        {"registry token", "{'auths':{'r.io':{'registrytoken':'rt'}}}", "r.io", NULL, NULL, NULL, "rt", NULL, NULL},
        {"helper wins", "{'credHelpers':{'r.io':'one'},'credsStore':'two','auths':{'r.io':{'auth':'dTpw'}}}", "r.io",
         NULL, NULL, NULL, NULL, "one", "r.io"},
        {"store", "{'credsStore':'two','auths':{'r.io':{}}}", "r.io", NULL, NULL, NULL, NULL, "two", "r.io"},
        {"store, Docker Hub", "{'credsStore':'two'}", "docker.io", NULL, NULL, NULL, NULL, "two",
         "https://index.docker.io/v1/"},
        {"store, the key of the login", "{'credsStore':'two','auths':{'https://r.io':{}}}", "r.io", NULL, NULL, NULL,
         NULL, "two", "https://r.io"},
        {"podman: the longest path", "{'auths':{'r.io':{'auth':'eDp5'},'r.io/ai':{'auth':'dTpw'},'r.io/a':{}}}", "r.io",
         NULL, NULL, NULL, NULL, NULL, NULL},
        {"another host", "{'auths':{'evil.r.io':{'auth':'dTpw'}}}", "r.io", NULL, NULL, NULL, NULL, NULL, NULL},
        {"no colon in auth", "{'auths':{'r.io':{'auth':'Zm9v'}}}", "r.io", NULL, NULL, NULL, NULL, NULL, NULL},
        {"wrong types", "{'auths':{'r.io':{'auth':5}},'credsStore':[],'credHelpers':7}", "r.io", NULL, NULL, NULL, NULL,
         NULL, NULL},
        {"not an object", "[]", "r.io", NULL, NULL, NULL, NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        struct credential c = {0};
        _cleanup_(json_free) json_t *config = NULL;
        _cleanup_free_ char *helper = NULL;
        _cleanup_free_ char *key = NULL;
        text_format(text, sizeof text, "%s", rows[i].config);
        for (char *p = text; *p != '\0'; p++)
            *p = *p == '\'' ? '"' : *p;
        assert_true(json_parse(text, strlen(text), &config, NULL));
        bool podman = strncmp(rows[i].name, "podman", 6) == 0;
        bool found = credential_pick(config, rows[i].host, podman ? "ai/x" : "a/b", &c, &helper, &key);
        const char *const want[] = {rows[i].user,   rows[i].password, rows[i].identity,
                                    rows[i].bearer, rows[i].helper,   rows[i].key};
        const char *const got[] = {c.user, c.password, c.identity, c.bearer, helper, key};
        if (podman) {
            assert_true(found);
            assert_string_equal(c.user, "u");
            credential_done(&c);
            continue;
        }
        bool any = false;
        for (size_t k = 0; k < ARRAY_LEN(want); k++) {
            any = any || want[k] != NULL;
            if ((want[k] == NULL) != (got[k] == NULL) || (want[k] != NULL && strcmp(want[k], got[k]) != 0))
                fail_msg("%s: field %zu is '%s'", rows[i].name, k, got[k] == NULL ? "(none)" : got[k]);
        }
        assert_int_equal(found, any);
        credential_done(&c);
    }
}

static void write_helper(const char *name, const char *script)
{
    char path[128];
    snprintf(path, sizeof path, "%s/docker-credential-%s", root, name);
    assert_true(file_write_atomic(path, script, strlen(script), 0700, NULL));
}

static void test_helpers(void **state)
{
    static const struct {
        const char *name, *script, *user, *password, *identity;
    } rows[] = {
        {"good",
         "#!/bin/sh\n[ $1 = get ] && key=$(cat) && echo \"{\\\"Username\\\":\\\"u-$key\\\",\\\"Secret\\\":\\\"s\\\"}\"",
         "u-r.io", "s", NULL},
        {"token", "#!/bin/sh\necho '{\"ServerURL\":\"x\",\"Username\":\"<token>\",\"Secret\":\"it\"}'", NULL, NULL,
         "it"},
        {"miss", "#!/bin/sh\necho credentials not found in native keychain; exit 1", NULL, NULL, NULL},
        {"broken", "#!/bin/sh\necho oh no; exit 1", NULL, NULL, NULL},
        {"garbage", "#!/bin/sh\necho '<html>'", NULL, NULL, NULL},
        {"empty", "#!/bin/sh\necho '{}'", NULL, NULL, NULL},
        {"endless", "#!/bin/sh\nyes", NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct credential c = {0};
        write_helper(rows[i].name, rows[i].script);
        bool found = credential_ask_helper(rows[i].name, "r.io", &c);
        assert_int_equal(found, rows[i].user != NULL || rows[i].identity != NULL);
        if (rows[i].user != NULL) {
            assert_string_equal(c.user, rows[i].user);
            assert_string_equal(c.password, rows[i].password);
        }
        if (rows[i].identity != NULL)
            assert_string_equal(c.identity, rows[i].identity);
        credential_done(&c);
    }
    struct credential c = {0};
    write_helper("x;id", "#!/bin/sh\necho '{\"Username\":\"u\",\"Secret\":\"s\"}'");
    assert_false(credential_ask_helper("../x", "r.io", &c));
    assert_false(credential_ask_helper("x;id", "r.io", &c));
    assert_false(credential_ask_helper("", "r.io", &c));
    assert_false(credential_ask_helper("not-installed", "r.io", &c));
}

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_true(file_write_atomic(path, text, strlen(text), 0600, NULL));
}

static void expect_user(const char *host, const char *user)
{
    struct credential c = {0};
    bool found = credential_find(host, "a/b", &c);
    assert_int_equal(found, user != NULL);
    if (found)
        assert_string_equal(c.user, user);
    credential_done(&c);
}

static void test_order(void **state)
{
    char path[128];
    (void)state;
    expect_user("r.io", NULL);
    snprintf(path, sizeof path, "%s/.config/containers", root);
    assert_true(file_mkdirs(path, 0700, NULL));
    put(".config/containers/auth.json", "{\"auths\":{\"r.io\":{\"username\":\"podman\",\"password\":\"p\"}}}");
    expect_user("r.io", "podman");
    snprintf(path, sizeof path, "%s/.docker", root);
    assert_true(file_mkdirs(path, 0700, NULL));
    put(".docker/config.json", "{\"auths\":{\"r.io\":{\"username\":\"docker\",\"password\":\"p\"}}}");
    expect_user("r.io", "docker");
    snprintf(path, sizeof path, "%s/other", root);
    assert_true(file_mkdirs(path, 0700, NULL));
    setenv("DOCKER_CONFIG", path, 1);
    expect_user("r.io", "podman"); /* it replaces ~/.docker */
    put("other/config.json", "{\"credHelpers\":{\"r.io\":\"good\"}}");
    expect_user("r.io", "u-r.io");
    put("other/config.json", "not JSON");
    expect_user("r.io", "podman"); /* broken is a warning */
    setenv("DOCKER_AUTH_CONFIG", "{\"auths\":{\"r.io\":{\"username\":\"inline\",\"password\":\"p\"}}}", 1);
    expect_user("r.io", "inline");
    setenv("DOCKER_USERNAME", "env", 1);
    setenv("DOCKER_PASSWORD", "p", 1);
    expect_user("r.io", "inline"); /* never sent to another registry than Docker Hub */
    expect_user("docker.io", "env");
}

static int set_up(void **state)
{
    static const char *const names[] = {"DOCKER_CONFIG",   "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE",
                                        "XDG_RUNTIME_DIR", "DOCKER_USERNAME",    "DOCKER_PASSWORD",
                                        "DOCKER_HUB_USER"};
    char path[4200];
    (void)state;
    snprintf(root, sizeof root, "/tmp/tug-credentials-XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unsetenv(names[i]);
    setenv("HOME", root, 1);
    snprintf(path, sizeof path, "%s:%s", root, getenv("PATH"));
    setenv("PATH", path, 1);
    log_init("test", LOG_ERROR);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return !file_remove_tree(root, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_helpers),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
