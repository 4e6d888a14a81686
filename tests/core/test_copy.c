/* Copies of all sizes and alignments: every byte arrives, and no other is touched. */
#define _GNU_SOURCE
#include "check.h"

#include "copy.h"

#define MARGIN 192u
#define LARGEST (PCN_LEAST_PAST_CACHES + 70000u)

static uint8_t source[LARGEST + 2 * MARGIN], target[LARGEST + 2 * MARGIN];

enum way { CHOSEN, PAIRS, FOURS };

static void copy(enum way way, uint8_t *to, const uint8_t *from, uint64_t length)
{
    if (way == CHOSEN)
        pcn_copy(to, from, length);
    else
        pcn_copy_past_caches(to, from, length, way == PAIRS ? PCN_PAIRS : PCN_FOURS);
}

static void check_copy(enum way way, uint64_t from, uint64_t to, uint64_t length)
{
    for (uint64_t i = 0; source[1] == 0 && i < sizeof source; i++)
        source[i] = (uint8_t)(i * 2654435761u >> 13);
    memset(target, 0xee, sizeof target);
    copy(way, target + to, source + from, length);
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
        for (enum way way = CHOSEN; way <= FOURS; way++)
            check_copy(way, length % 5, length % 9, length);
}

/* Each way, also those that this processor would not be given. */
static void of_some_pages(void)
{
    for (uint64_t length = 4000; length < 200000; length += length < 40000 ? 1371 : 9377)
        for (enum way way = CHOSEN; way <= FOURS; way++)
            check_copy(way, length % 11, length % 67, length);
}

static void large_ones(void)
{
    const uint64_t more[] = {0, 1, 63, 64, 65, 4095, 4096, 16383, 16384, 16385, 19999,
                             67583, 67584, 69999};
    const uint64_t ends[] = {0, 1, 15, 16, 63, 64, 100};
    for (unsigned i = 0; i < sizeof more / sizeof *more; i++)
        for (unsigned j = 0; j < sizeof ends / sizeof *ends; j++)
            check_copy((enum way)((i + j) % 3), ends[(i + j) % 7], ends[j],
                       PCN_LEAST_PAST_CACHES + more[i]);
}

static void just_below(void)
{
    check_copy(CHOSEN, 3, 5, PCN_LEAST_PAST_CACHES - 1);
}

static const struct check_case cases[] = {
    CHECK_CASE(small_ones),
    CHECK_CASE(of_some_pages),
    CHECK_CASE(large_ones),
    CHECK_CASE(just_below),
};
CHECK_MAIN(cases)
