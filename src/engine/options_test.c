/* The command line of tug-engine. */
#include "engine/options.h"

#include <ggml.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ARGS_MAX = 24 };

static bool parse(const char *const *args, struct engine_options *o, struct err *err)
{
    char *argv[ARGS_MAX + 2] = {(char *)(uintptr_t) "tug-engine"};
    int argc = 1;
    for (; args[argc - 1] != NULL && argc < ARGS_MAX; argc++)
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
    return options_parse(argc, argv, o, err);
}

static void wrong_lines_are_refused(void **state)
{
    static const struct {
        const char *args[ARGS_MAX];
        const char *says;
    } rows[] = {
        {{NULL}, "--model PATH is missing"},
        {{"--alias", "x", NULL}, "--model PATH is missing"},
        {{"model.gguf", NULL}, "no option 'model.gguf'"},
        {{"--mode", "x", NULL}, "no option '--mode'"},
        {{"--model", NULL}, "--model needs a value"},
        {{"--model=", NULL}, "--model is empty"},
        {{"--model", "m", "--ctx-size", "-1", NULL}, "--ctx-size must be"},
        {{"--model", "m", "--ctx-size", "99999999999999999999", NULL}, "--ctx-size must be"},
        {{"--model", "m", "--parallel", "2x", NULL}, "(got '2x')"},
        {{"--model", "m", "--parallel", "256", NULL}, "from 0 to 255"},
        {{"--model", "m", "--ready-fd", "1", NULL}, "from 3 to 1023"},
        {{"--model", "m", "--gpu-layers", "-2", NULL}, "from -1"},
        {{"--model", "m", "--kv-type", "q4_0", NULL}, "f16 or q8_0"},
        {{"--model", "m", "--log-level", "loud", NULL}, "error, warn, info or debug"},
        {{"--model", "m", "--insecure=1", NULL}, "takes no value"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct engine_options o = {.threads = -7};
        struct err err = ERR_INIT;
        if (parse(rows[i].args, &o, &err) || strstr(err.text, rows[i].says) == NULL)
            fail_msg("row %zu: '%s', wanted '%s'", i, err.text, rows[i].says);
        assert_int_equal(err.code, ERR_INVALID);
        assert_int_equal(o.threads, -7);
    }
}

static void all_options_arrive(void **state)
{
    static const char *const args[] = {"--model",
                                       "m.gguf",
                                       "--alias=ai/m",
                                       "--mmproj",
                                       "p",
                                       "--chat-template-file",
                                       "t",
                                       "--listen",
                                       "unix:/s",
                                       "--ready-fd",
                                       "3",
                                       "--ctx-size",
                                       "4096",
                                       "--parallel",
                                       "8",
                                       "--threads=2",
                                       "--gpu-layers",
                                       "-1",
                                       "--kv-type",
                                       "Q8_0",
                                       "--no-prefix-cache",
                                       "--no-mmap",
                                       NULL};
    struct engine_options o;
    struct err err = ERR_INIT;
    (void)state;
    if (!parse(args, &o, &err))
        fail_msg("%s", err.text);
    assert_string_equal(o.model, "m.gguf");
    assert_string_equal(o.alias, "ai/m");
    assert_string_equal(o.listen, "unix:/s");
    assert_int_equal(o.ready_fd, 3);
    assert_int_equal(o.ctx_size, 4096);
    assert_int_equal(o.parallel, 8);
    assert_int_equal(o.threads, 2);
    assert_int_equal(o.gpu_layers, -1);
    assert_int_equal(o.kv_type, GGML_TYPE_Q8_0);
    assert_true(o.no_prefix_cache && o.no_mmap && !o.insecure);
}

static void defaults_hold(void **state)
{
    static const char *const args[] = {"--model", "m", NULL};
    struct engine_options o;
    (void)state;
    assert_true(parse(args, &o, NULL));
    assert_string_equal(o.listen, "127.0.0.1:8080");
    assert_int_equal(o.ready_fd, -1);
    assert_int_equal(o.gpu_layers, -1);
    assert_int_equal(o.kv_type, -1);
    assert_int_equal(o.log_level, LOG_INFO);
}

static void help_needs_no_model_and_names_all(void **state)
{
    static const char *const args[] = {"--help", NULL};
    static const char *const names[] = {"--model PATH", "--ready-fd FD", "--kv-type TYPE", "--insecure", "--version"};
    struct engine_options o;
    struct buf text = BUF_INIT(65536);
    (void)state;
    assert_true(parse(args, &o, NULL) && o.help);
    options_help(&text);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_non_null(strstr(text.data, names[i]));
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(all_options_arrive),
        cmocka_unit_test(defaults_hold),
        cmocka_unit_test(help_needs_no_model_and_names_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
