/* Copies of all sizes and alignments: every byte arrives, and no other is touched. */
#define _GNU_SOURCE
#include "check.h"

#include "copy.h"

#define MARGIN 192u
#define LARGEST (PCN_LEAST_PAST_CACHES + 20000u)

static uint8_t source[LARGEST + 2 * MARGIN], target[LARGEST + 2 * MARGIN];

static void check_copy(uint64_t from, uint64_t to, uint64_t length)
{
    for (uint64_t i = 0; source[1] == 0 && i < sizeof source; i++)
        source[i] = (uint8_t)(i * 2654435761u >> 13);
    memset(target, 0xee, sizeof target);
    pcn_copy(target + to, source + from, length);
    CHECK(memcmp(target + to, source + from, length) == 0);
    for (uint64_t i = 0; i < to; i++)
        CHECK_EQ(target[i], 0xee);
    for (uint64_t i = to + length; i < sizeof target; i++)
        CHECK_EQ(target[i], 0xee);
}

static void small_ones(void)
{
    pcn_copy(target, NULL, 0);
    for (uint64_t length = 0; length < 200; length += 7)
        check_copy(length % 5, length % 9, length);
}

static void large_ones(void)
{
    const uint64_t more[] = {0, 1, 63, 64, 65, 4095, 4096, 16383, 16384, 16385, 19999};
    const uint64_t ends[] = {0, 1, 15, 16, 63, 64, 100};
    for (unsigned i = 0; i < sizeof more / sizeof *more; i++)
        for (unsigned j = 0; j < sizeof ends / sizeof *ends; j++)
            check_copy(ends[(i + j) % 7], ends[j], PCN_LEAST_PAST_CACHES + more[i]);
}

static void just_below(void)
{
    check_copy(3, 5, PCN_LEAST_PAST_CACHES - 1);
}

static const struct check_case cases[] = {
    CHECK_CASE(small_ones),
    CHECK_CASE(large_ones),
    CHECK_CASE(just_below),
};
CHECK_MAIN(cases)
