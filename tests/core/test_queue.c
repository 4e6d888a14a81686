/* A queue: order, limits, segments, large items, shutting down, and what is done. */
#define _GNU_SOURCE
#include "queue_traffic.h"

static struct pcn_arena arena;

static struct pcn_share make(uint64_t limit, bool joinable)
{
    family_make(&arena);
    return traffic_make(&arena, limit, joinable);
}

static void items_come_out_in_order(void)
{
    struct pcn_share share = make(0, false);
    uint64_t number;
    CHECK_EQ(traffic_get(&share, &number), PCN_EMPTY);
    CHECK(!pcn_queue_has_items(share.queue));
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_EQ(traffic_put(&share, i), PCN_OK);
        CHECK_EQ(pcn_queue_size(share.queue), i + 1);
    }
    CHECK_VALID(pcn_queue_validate(&share));
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_EQ(traffic_get(&share, &number), PCN_OK);
        CHECK_EQ(number, i);
        CHECK_EQ(pcn_queue_size(share.queue), 4 - i);
    }
    CHECK_EQ(traffic_get(&share, &number), PCN_EMPTY);
}

static void many_items_take_many_segments_and_leave_none(void)
{
    struct pcn_share share = make(0, false);
    uint64_t number;
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 20000; i++)
            CHECK_EQ(traffic_put(&share, i), PCN_OK);
        CHECK_VALID(pcn_queue_validate(&share));
        CHECK(traffic_blocks(&arena) > 10);
        for (uint64_t i = 0; i < 20000; i++) {
            CHECK_EQ(traffic_get(&share, &number), PCN_OK);
            CHECK_EQ(number, i);
        }
        CHECK_VALID(pcn_queue_validate(&share));
        CHECK(traffic_blocks(&arena) <= 2); /* the one in use, and a spare one */
    }
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_queue_that_is_drained_at_once_uses_two_segments_for_ever(void)
{
    struct pcn_share share = make(0, false);
    uint64_t number;
    for (uint64_t i = 0; i < 100000; i++) {
        CHECK_EQ(traffic_put_sized(&share, i, 8 + i % 200), PCN_OK);
        CHECK_EQ(traffic_get(&share, &number), PCN_OK);
        CHECK_EQ(number, i);
        CHECK(traffic_blocks(&arena) <= 2);
    }
}

static void the_counts_may_wrap(void)
{
    struct pcn_share share = make(3, false);
    /* As after 2^28 - 2 items and almost 2^39 bytes. */
    uint64_t near_the_end = ~(uint64_t)0 - ((uint64_t)1 << PCN_POSITION_BITS);
    pcn_store_relaxed64(&share.queue->head, near_the_end);
    pcn_store_relaxed64(&share.queue->tail, near_the_end);
    pcn_store_relaxed64(&share.queue->seen_head, near_the_end);
    pcn_store_relaxed64(&share.queue->seen_tail, near_the_end);
    uint64_t number;
    for (uint64_t i = 0; i < 5000; i += 3) {
        for (uint64_t k = i; k < i + 3; k++)
            CHECK_EQ(traffic_put(&share, k), PCN_OK);
        CHECK_EQ(traffic_put(&share, i), PCN_FULL);
        CHECK_EQ(pcn_queue_size(share.queue), 3);
        CHECK_VALID(pcn_queue_validate(&share));
        for (uint64_t k = i; k < i + 3; k++) {
            CHECK_EQ(traffic_get(&share, &number), PCN_OK);
            CHECK_EQ(number, k);
        }
        CHECK_EQ(traffic_get(&share, &number), PCN_EMPTY);
    }
}

static void a_limit_is_kept_exactly(void)
{
    struct pcn_share share = make(2, false);
    uint64_t number;
    CHECK(pcn_queue_has_room(share.queue));
    CHECK_EQ(traffic_put(&share, 96), PCN_OK); /* a large one counts as one */
    CHECK_EQ(traffic_put(&share, 1), PCN_OK);
    CHECK(!pcn_queue_has_room(share.queue));
    uint32_t blocks = traffic_blocks(&arena);
    CHECK_EQ(traffic_put(&share, 96), PCN_FULL);
    CHECK_EQ(traffic_blocks(&arena), blocks);
    CHECK_EQ(traffic_get(&share, &number), PCN_OK);
    CHECK_EQ(traffic_put(&share, 2), PCN_OK);
    CHECK_EQ(traffic_put(&share, 3), PCN_FULL);
}

static void put_many_says_how_many_went_in(void)
{
    struct pcn_share share = make(5, false);
    uint64_t numbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct pcn_item items[8];
    for (int i = 0; i < 8; i++)
        items[i] = (struct pcn_item){.bytes = &numbers[i], .length = 8, .kind = 7};
    uint32_t done;
    CHECK_EQ(pcn_queue_put(&share, items, 8, &done, true), PCN_FULL);
    CHECK_EQ(done, 5);
    struct traffic_room room;
    traffic_room_init(&room);
    CHECK_EQ(pcn_queue_get(&share, 3, &room.taking, true), PCN_OK);
    CHECK_EQ(room.taking.count, 3);
    uint64_t at = 0;
    for (uint64_t i = 0; i < 3; i++) {
        struct pcn_item item = pcn_queue_taken(&share, &room.taking, &at);
        CHECK_EQ(traffic_check(&item), i);
    }
    CHECK_EQ(pcn_queue_get(&share, 100, &room.taking, true), PCN_OK);
    CHECK_EQ(room.taking.count, 2);
    CHECK_EQ(pcn_queue_get(&share, 100, &room.taking, true), PCN_EMPTY);
}

static void records_of_any_size_fit_between_segments(void)
{
    struct pcn_share share = make(0, false);
    uint64_t state = 42, sizes[200], number;
    for (int round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < 200; i++) {
            sizes[i] = 8 + check_random(&state) % (PCN_QUEUE_INLINE - 7);
            CHECK_EQ(traffic_put_sized(&share, i, sizes[i]), PCN_OK);
        }
        CHECK_VALID(pcn_queue_validate(&share));
        for (uint64_t i = 0; i < 200; i++) {
            CHECK_EQ(traffic_get(&share, &number), PCN_OK);
            CHECK_EQ(number, i);
        }
    }
}

static void large_items_travel_as_blocks_and_leave_none(void)
{
    struct pcn_share share = make(0, false);
    CHECK_EQ(traffic_put(&share, 0), PCN_OK);
    uint32_t blocks = traffic_blocks(&arena);
    CHECK_EQ(traffic_put(&share, 96), PCN_OK);
    CHECK_EQ(traffic_blocks(&arena), blocks + 1);
    CHECK_VALID(pcn_queue_validate(&share));
    uint64_t number;
    CHECK_EQ(traffic_get(&share, &number), PCN_OK);
    CHECK_EQ(traffic_get(&share, &number), PCN_OK);
    CHECK_EQ(number, 96);
    CHECK_EQ(traffic_blocks(&arena), blocks);
}

static void a_queue_that_ends_leaves_no_blocks(void)
{
    struct pcn_share share = make(0, false);
    for (uint64_t i = 0; i < 1000; i++)
        CHECK_EQ(traffic_put(&share, i), PCN_OK);
    uint32_t hold = pcn_hold_find(&arena, share.name, arena.me);
    pcn_object_release(&arena, hold);
    CHECK_EQ(traffic_blocks(&arena), 0);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_shut_queue_gives_what_it_has(void)
{
    struct pcn_share share = make(0, false);
    CHECK_EQ(traffic_put(&share, 1), PCN_OK);
    pcn_queue_shut(&share);
    CHECK_EQ(traffic_put(&share, 2), PCN_CLOSED);
    uint64_t number;
    CHECK_EQ(traffic_get(&share, &number), PCN_OK);
    CHECK_EQ(traffic_get(&share, &number), PCN_CLOSED);
    CHECK_EQ(pcn_queue_wait_items(&share, UINT32_MAX), PCN_OK);
    CHECK_EQ(pcn_queue_wait_room(&share, UINT32_MAX), PCN_OK);
}

static void nothing_comes_within_a_bounded_wait(void)
{
    struct pcn_share share = make(1, false);
    CHECK_EQ(pcn_queue_wait_items(&share, 1000), PCN_TIMEOUT);
    CHECK_EQ(traffic_put(&share, 1), PCN_OK);
    CHECK_EQ(pcn_queue_wait_items(&share, UINT32_MAX), PCN_OK);
    CHECK_EQ(pcn_queue_wait_room(&share, 1000), PCN_TIMEOUT);
}

static void what_is_done_is_counted(void)
{
    struct pcn_share share = make(0, true);
    uint64_t number;
    CHECK_EQ(pcn_queue_done(&share, true), PCN_EMPTY);
    for (uint64_t i = 0; i < 3; i++)
        CHECK_EQ(traffic_put(&share, i), PCN_OK);
    CHECK_EQ(pcn_queue_unfinished(share.queue), 3);
    CHECK_EQ(pcn_queue_wait_done(&share, 1000), PCN_TIMEOUT);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_EQ(traffic_get(&share, &number), PCN_OK);
        CHECK_EQ(pcn_load_relaxed64(&share.hold->taken), i + 1);
        CHECK_EQ(pcn_queue_done(&share, true), PCN_OK);
        CHECK_EQ(pcn_load_relaxed64(&share.hold->done), i + 1);
    }
    CHECK_EQ(pcn_queue_unfinished(share.queue), 0);
    CHECK_EQ(pcn_queue_done(&share, true), PCN_EMPTY);
    CHECK_EQ(pcn_queue_wait_done(&share, UINT32_MAX), PCN_OK);
    CHECK_EQ(pcn_queue_culprit(&share), 0);
}

struct taker {
    struct pcn_name name;
    struct gate taken;
    int items;
};

static void take_and_stay(struct pcn_arena *mine, void *context)
{
    const struct taker *taker = context;
    struct pcn_share share = traffic_share(mine, taker->name);
    uint64_t number;
    for (int i = 0; i < taker->items; i++)
        CHECK_EQ(traffic_get(&share, &number), PCN_OK);
    family_stay(mine, (void *)(uintptr_t)&taker->taken);
}

static void a_dead_taker_is_named_and_recovered_from(void)
{
    struct pcn_share share = make(0, true);
    for (uint64_t i = 0; i < 6; i++)
        CHECK_EQ(traffic_put(&share, i), PCN_OK);
    struct taker lives = {share.name, gate_make(), 1}, dies = {share.name, gate_make(), 2};
    pid_t living = family_fork(&arena, take_and_stay, &lives);
    gate_wait(&lives.taken);
    pid_t dying = family_fork(&arena, take_and_stay, &dies);
    gate_wait(&dies.taken);
    CHECK_EQ(pcn_queue_culprit(&share), 0);
    family_kill(dying);
    pcn_token culprit = pcn_queue_culprit(&share);
    CHECK(culprit != 0);
    pcn_recover_all(&arena);
    CHECK_EQ(pcn_queue_culprit(&share), culprit);
    CHECK_EQ(pcn_queue_recover(&share), 2);
    CHECK_EQ(pcn_queue_culprit(&share), 0);
    CHECK_EQ(pcn_queue_unfinished(share.queue), 4);
    CHECK_EQ(pcn_queue_recover(&share), 0);
    family_kill(living);
    CHECK(pcn_queue_culprit(&share) != 0);
    CHECK_EQ(pcn_queue_recover(&share), 1); /* not swept yet */
    CHECK_EQ(pcn_queue_unfinished(share.queue), 3);
    pcn_recover_all(&arena);
    CHECK_EQ(pcn_queue_recover(&share), 0);
    CHECK_VALID(pcn_queue_validate(&share));
}

static const struct check_case cases[] = {
    CHECK_CASE(items_come_out_in_order),
    CHECK_CASE(many_items_take_many_segments_and_leave_none),
    CHECK_CASE(a_queue_that_is_drained_at_once_uses_two_segments_for_ever),
    CHECK_CASE(the_counts_may_wrap),
    CHECK_CASE(a_limit_is_kept_exactly),
    CHECK_CASE(put_many_says_how_many_went_in),
    CHECK_CASE(records_of_any_size_fit_between_segments),
    CHECK_CASE(large_items_travel_as_blocks_and_leave_none),
    CHECK_CASE(a_queue_that_ends_leaves_no_blocks),
    CHECK_CASE(a_shut_queue_gives_what_it_has),
    CHECK_CASE(nothing_comes_within_a_bounded_wait),
    CHECK_CASE(what_is_done_is_counted),
    CHECK_CASE(a_dead_taker_is_named_and_recovered_from),
};
CHECK_MAIN(cases)
