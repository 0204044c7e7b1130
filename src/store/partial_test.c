/* partial_test: the state files of an unfinished blob, whole, torn and hostile. */
#include "store/partial.h"

#include "store/testing.h"

#define SIZE (PARTIAL_GRAIN_BYTES * 3 + 100)

static void crc_is_castagnoli(void **state)
{
    (void)state;
    assert_int_equal(partial_crc32c("123456789", 9), 0xe3069283U); /* RFC 3720 B.4's check value */
    assert_int_equal(partial_crc32c("", 0), 0);
}

static size_t make_state(unsigned char *dst, uint64_t have)
{
    struct partial_header h = {.size = SIZE, .inode = 7, .boot_id = "boot"};
    digest_of("x", 1, h.digest);
    partial_header_encode(&h, dst);
    size_t at = PARTIAL_HEADER_BYTES;
    for (uint64_t i = 0; i * PARTIAL_GRAIN_BYTES < have; i++, at += PARTIAL_GRAIN_RECORD) {
        uint64_t left = have - i * PARTIAL_GRAIN_BYTES;
        partial_grain_encode(i, (uint32_t)(left < PARTIAL_GRAIN_BYTES ? left : PARTIAL_GRAIN_BYTES), dst + at);
    }
    return at;
}

static void header_survives_and_every_flip_is_seen(void **state)
{
    unsigned char bytes[PARTIAL_HEADER_BYTES + 64];
    struct partial_header h;
    (void)state;
    make_state(bytes, 0);
    assert_true(partial_header_decode(bytes, PARTIAL_HEADER_BYTES, &h));
    assert_true(h.size == SIZE && h.inode == 7);
    assert_string_equal(h.boot_id, "boot");
    assert_false(partial_header_decode(bytes, PARTIAL_HEADER_BYTES - 1, &h));
    for (size_t i = 0; i < PARTIAL_HEADER_BYTES; i++) {
        bytes[i] ^= 0x10;
        assert_false(partial_header_decode(bytes, PARTIAL_HEADER_BYTES, &h));
        bytes[i] ^= 0x10;
    }
}

static void frontier_stops_at_the_first_gap(void **state)
{
    static const struct {
        const char *name;
        uint64_t have;
        long cut;  /* bytes off the end */
        long flip; /* offset of a flipped byte, -1: none */
        uint64_t expected;
    } rows[] = {
        {"nothing", 0, 0, -1, 0},
        {"a byte", 1, 0, -1, 1},
        {"one grain", PARTIAL_GRAIN_BYTES, 0, -1, PARTIAL_GRAIN_BYTES},
        {"in the second", PARTIAL_GRAIN_BYTES + 5, 0, -1, PARTIAL_GRAIN_BYTES + 5},
        {"all", SIZE, 0, -1, SIZE},
        {"torn last record", PARTIAL_GRAIN_BYTES + 5, 1, -1, PARTIAL_GRAIN_BYTES},
        {"flipped count", SIZE, 0, PARTIAL_HEADER_BYTES + PARTIAL_GRAIN_RECORD, PARTIAL_GRAIN_BYTES},
        {"flipped crc", SIZE, 0, PARTIAL_HEADER_BYTES + 4, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char bytes[PARTIAL_HEADER_BYTES + 64] = {0};
        size_t n = make_state(bytes, rows[i].have) - (size_t)rows[i].cut;
        if (rows[i].flip >= 0)
            bytes[rows[i].flip] ^= 1;
        uint64_t got = partial_frontier(bytes, n, SIZE);
        if (got != rows[i].expected)
            fail_msg("%s: %llu", rows[i].name, (unsigned long long)got);
    }
}

static struct partial_mark make_mark(uint64_t frontier)
{
    struct partial_mark m = {.frontier = frontier, .offset = frontier - frontier % 64};
    struct digest_hash hash;
    digest_start(&hash);
    for (uint64_t i = 0; i < m.offset; i += 64) {
        static const unsigned char block[64];
        digest_add(&hash, block, sizeof block);
    }
    assert_true(digest_save(&hash, m.hash));
    return m;
}

static void journal_gives_the_last_mark_that_holds(void **state)
{
    unsigned char bytes[4 * PARTIAL_RECORD_BYTES];
    struct partial_mark marks[3] = {make_mark(100), make_mark(1000), make_mark(5000)}, got;
    size_t end = 0;
    (void)state;
    for (size_t i = 0; i < 3; i++)
        partial_mark_encode(&marks[i], bytes + i * PARTIAL_RECORD_BYTES);
    assert_true(partial_last_mark(bytes, 3 * PARTIAL_RECORD_BYTES, 10000, &got, &end));
    assert_true(got.frontier == 5000 && got.offset == 4992 && end == 3 * PARTIAL_RECORD_BYTES);
    assert_memory_equal(got.hash, marks[2].hash, DIGEST_STATE_BYTES);
    /* data is shorter than the last claim */
    assert_true(partial_last_mark(bytes, 3 * PARTIAL_RECORD_BYTES, 4999, &got, &end));
    assert_true(got.frontier == 1000 && end == 2 * PARTIAL_RECORD_BYTES);
    assert_false(partial_last_mark(bytes, 3 * PARTIAL_RECORD_BYTES, 99, &got, &end));
    /* torn at the end */
    assert_true(partial_last_mark(bytes, 3 * PARTIAL_RECORD_BYTES - 1, 10000, &got, &end));
    assert_true(got.frontier == 1000);
    /* what follows a damaged record is not believed */
    bytes[PARTIAL_RECORD_BYTES + 9] ^= 1;
    assert_true(partial_last_mark(bytes, 3 * PARTIAL_RECORD_BYTES, 10000, &got, &end));
    assert_true(got.frontier == 100 && end == PARTIAL_RECORD_BYTES);
    assert_false(partial_last_mark("", 0, 10000, &got, &end));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_castagnoli),
        cmocka_unit_test(header_survives_and_every_flip_is_seen),
        cmocka_unit_test(frontier_stops_at_the_first_gap),
        cmocka_unit_test(journal_gives_the_last_mark_that_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
