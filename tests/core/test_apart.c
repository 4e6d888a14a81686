/* A body with buffers beside it: where each stands, and how much it takes. */
#define _GNU_SOURCE
#include "check.h"

#include "apart.h"

static uint8_t bytes[1000];

static struct pcn_part part(uint64_t length)
{
    return (struct pcn_part){bytes, length};
}

static void a_body_alone_needs_its_length_and_itself(void)
{
    struct pcn_part body = part(0);
    CHECK_EQ(pcn_apart_size(&body, NULL, 0), 8);
    body = part(999);
    CHECK_EQ(pcn_apart_size(&body, NULL, 0), 1007);
}

static void buffers_begin_at_a_line(void)
{
    struct pcn_part body = part(56), buffers[] = {part(0), part(1), part(64), part(65)};
    CHECK_EQ(pcn_apart_size(&body, buffers, 1), 64);
    CHECK_EQ(pcn_apart_size(&body, buffers, 2), 65);
    CHECK_EQ(pcn_apart_size(&body, buffers, 3), 192);
    CHECK_EQ(pcn_apart_size(&body, buffers, 4), 257);
    body = part(57);
    CHECK_EQ(pcn_apart_size(&body, buffers, 1), 128);
}

static void each_stands_where_it_should(void)
{
    static uint8_t whole[600], expected[600];
    struct pcn_part buffers[3];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    for (uint64_t length = 0; length < 130; length++) {
        struct pcn_part body = part(length);
        for (uint64_t i = 0; i < 3; i++)
            buffers[i] = (struct pcn_part){bytes + 100 * i, (length * (i + 3)) % 71};
        uint64_t size = pcn_apart_size(&body, buffers, 3), at = 8 + length;
        CHECK(size <= sizeof whole);
        memset(expected, 0xee, sizeof expected);
        memset(whole, 0xee, sizeof whole);
        memcpy(expected, &length, 8);
        memcpy(expected + 8, bytes, length);
        for (int i = 0; i < 3; i++) {
            at = (at + 63) / 64 * 64;
            memcpy(expected + at, buffers[i].bytes, buffers[i].length);
            at += buffers[i].length;
        }
        CHECK_EQ(size, at);
        pcn_apart_write(whole, &body, buffers, 3);
        CHECK(memcmp(whole, expected, sizeof whole) == 0); /* nothing in between, nor behind */
    }
}

static void too_much_is_not_counted(void)
{
    struct pcn_part body = part(8), buffers[9];
    for (int i = 0; i < 9; i++)
        buffers[i] = part(UINT64_MAX / 8);
    CHECK(pcn_apart_size(&body, buffers, 1) < UINT64_MAX);
    CHECK(pcn_apart_size(&body, buffers, 9) == UINT64_MAX);
    body = part(UINT64_MAX);
    CHECK(pcn_apart_size(&body, NULL, 0) == UINT64_MAX);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_body_alone_needs_its_length_and_itself),
    CHECK_CASE(buffers_begin_at_a_line),
    CHECK_CASE(each_stands_where_it_should),
    CHECK_CASE(too_much_is_not_counted),
};
CHECK_MAIN(cases)
