/* Lengths that 32 bits can not hold, where records say them. No such memory is touched: a block
 * says that it is longer than it is. */
#define _GNU_SOURCE
#include "apart.h"
#include "channel_family.h"
#include "queue_traffic.h"

#define LONG_LENGTH ((5ull << 30) + 3)

static struct pcn_arena arena;

static pcn_block_id long_block(void)
{
    pcn_block_id id;
    CHECK_EQ(pcn_block_allocate(&arena, PCN_PAGE, &id, true), PCN_OK);
    struct pcn_block *block = (struct pcn_block *)(void *)(arena.base + PCN_BLOCKS_AT +
                                                           (id - 1) * (uint64_t)PCN_BLOCK_SIZE);
    block->length = LONG_LENGTH;
    return id;
}

static void an_item_of_a_queue_has_its_length(void)
{
    family_make(&arena);
    struct pcn_share share = traffic_make(&arena, 0, true);
    struct pcn_item item = {.length = LONG_LENGTH, .kind = 7, .block = long_block()};
    item.bytes = pcn_block_bytes(&arena, item.block);
    uint32_t done;
    CHECK_EQ(pcn_queue_put(&share, &item, 1, &done, true), PCN_OK);
    struct traffic_room room;
    traffic_room_init(&room);
    CHECK_EQ(pcn_queue_get(&share, 1, &room.taking, true), PCN_OK);
    uint64_t at = 0;
    struct pcn_item taken = pcn_queue_taken(&share, &room.taking, &at);
    CHECK_EQ(taken.length, LONG_LENGTH);
    CHECK_EQ(taken.block, item.block);
    CHECK(taken.bytes == item.bytes);
    CHECK_EQ(at, room.taking.used);
}

static void an_answer_has_its_length(void)
{
    static _Alignas(8) uint8_t to[POOL_ROOM];
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    pcn_channel_sit(&arena, pool.channel, 0);
    struct pcn_message message = {.task = 1, .kind = PCN_APART, .block = long_block()};
    CHECK_EQ(pcn_channel_answer_block(&arena, pool.channel, &message, true), PCN_OK);
    uint64_t used;
    CHECK_EQ(pcn_channel_collect(&arena, pool.channel, to, sizeof to, &used, true), PCN_OK);
    struct pcn_message collected;
    memcpy(&collected, to, sizeof collected);
    CHECK_EQ(used, sizeof collected);
    CHECK_EQ(collected.length, LONG_LENGTH);
    CHECK_EQ(collected.block, message.block);
}

static void a_task_has_its_length(void)
{
    uint8_t payload[PCN_INLINE_LIMIT];
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    pcn_channel_sit(&arena, pool.channel, 0);
    /* As pcn_channel_submit() would push it. */
    struct pcn_message message = {
        .task = 9, .kind = 1, .length = LONG_LENGTH, .block = long_block(), .end = 1};
    const struct pcn_part part = {&message, sizeof message};
    CHECK_EQ(pcn_ring_push(&arena, &pool.channel->tasks, &part, 1, true, NULL), PCN_OK);
    struct pcn_message claimed;
    CHECK_EQ(pcn_channel_claim(&arena, pool.channel, 0, &claimed, payload, true), PCN_OK);
    CHECK_EQ(claimed.task, 9);
    CHECK_EQ(claimed.length, LONG_LENGTH);
    CHECK_EQ(claimed.block, message.block);
}

static void what_is_apart_is_counted(void)
{
    const struct pcn_part body = {NULL, 57};
    const struct pcn_part buffers[] = {{NULL, 3ull << 30}, {NULL, LONG_LENGTH}, {NULL, 1}};
    uint64_t size = 128 + (3ull << 30) + LONG_LENGTH;
    CHECK_EQ(pcn_apart_size(&body, buffers, 2), size);
    CHECK_EQ(pcn_apart_size(&body, buffers, 3), (size + 63) / 64 * 64 + 1);
}

static void classes_hold_what_they_are_for(void)
{
    for (uint64_t length = 1ull << 30; length < 64ull << 30; length += (97ull << 20) + 1) {
        uint32_t size_class = pcn_block_class(length);
        CHECK(size_class < PCN_CLASSES);
        CHECK(pcn_class_capacity(size_class) >= length);
        CHECK(pcn_class_capacity(size_class - 1) < length);
    }
}

static const struct check_case cases[] = {
    CHECK_CASE(an_item_of_a_queue_has_its_length),
    CHECK_CASE(an_answer_has_its_length),
    CHECK_CASE(a_task_has_its_length),
    CHECK_CASE(what_is_apart_is_counted),
    CHECK_CASE(classes_hold_what_they_are_for),
};
CHECK_MAIN(cases)
