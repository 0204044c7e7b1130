/* cli/ui/attach_test: which words of a message are files, and what becomes of them. */
#include "cli/ui/attach.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void write_file(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static int enter_folder(void **state)
{
    static char folder[] = "/tmp/attach-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    write_file("notes.txt", "the sea", 7);
    write_file("two words.txt", "is wide", 7);
    write_file("cat.png", "\x01\x02\x03", 3);
    write_file("bad.txt", "\xff\xfe", 2);
    *state = folder;
    return 0;
}

static int leave_folder(void **state)
{
    static const char *const files[] = {"notes.txt", "two words.txt", "cat.png", "bad.txt", "big.txt"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(files[i]);
    assert_int_equal(chdir("/"), 0);
    rmdir(*state);
    return 0;
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *want;
    } rows[] = {
        {"no files", "Why is the sky blue?", "Why is the sky blue?"},
        {"empty", "", ""},
        {"a file", "Sum up @notes.txt please", "Sum up the sea please"},
        {"two files", "@notes.txt @\"two words.txt\"", "the sea is wide"},
        {"single quotes", "x @'two words.txt'", "x is wide"},
        {"not there", "mail @nobody.txt", "mail @nobody.txt"},
        {"inside a word", "me@notes.txt", "me@notes.txt"},
        {"a folder", "@. @/tmp", "@. @/tmp"},
        {"quote not closed", "@\"notes.txt", "@\"notes.txt"},
        {"a lone at", "@ @", "@ @"},
        {"a picture by a bare word is text", "cat.png", "cat.png"},
        {"a picture that is not there", "./dog.png", "./dog.png"},
        {"lines", "a\n@notes.txt\nb", "a\nthe sea\nb"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *content = NULL;
        struct err err = ERR_INIT;
        if (!attach_content(rows[i].text, &content, &err) || !json_is_string(content) ||
            strcmp(json_string_value(content), rows[i].want) != 0)
            fail_msg("%s: %s %s", rows[i].name, err.text, json_string_value(content));
        json_decref(content);
    }
}

static void test_pictures(void **state)
{
    (void)state;
    static const char *const texts[] = {"What is ./cat.png", "What is \"cat.png\"", "What is @cat.png"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *content = NULL;
        struct err err = ERR_INIT;
        assert_true(attach_content(texts[i], &content, &err));
        assert_int_equal(json_array_size(content), 2);
        const json_t *picture = json_object_get(json_array_get(content, 0), "image_url");
        assert_string_equal(json_string_value(json_object_get(picture, "url")), "data:image/png;base64,AQID");
        assert_string_equal(json_string_value(json_object_get(json_array_get(content, 1), "text")), "What is ");
        json_decref(content);
    }
}

static void test_refused(void **state)
{
    (void)state;
    json_t *content = NULL;
    struct err err = ERR_INIT;
    assert_false(attach_content("@bad.txt", &content, &err));
    assert_int_equal(err.code, ERR_INVALID);
    write_file("big.txt", "x", 1);
    assert_int_equal(truncate("big.txt", ATTACH_BYTES_MAX + 1), 0);
    assert_false(attach_content("@big.txt", &content, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_true(text_starts(err.text, "file size exceeds maximum limit"));
    assert_null(content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_pictures),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
