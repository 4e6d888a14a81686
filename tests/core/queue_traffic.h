/* A queue for the tests, and items that tell who made them, whole or not. */
#ifndef PCN_TEST_QUEUE_TRAFFIC_H
#define PCN_TEST_QUEUE_TRAFFIC_H

#include "family.h"

#include "block.h"
#include "queue.h"

#define TRAFFIC_LARGE (PCN_QUEUE_INLINE + 1000u)

/* Room for what one taking brings. */
struct traffic_room {
    struct pcn_taking taking;
    _Alignas(8) uint8_t bytes[2 * PCN_QUEUE_RECORD];
};

static inline void traffic_room_init(struct traffic_room *room)
{
    room->taking = (struct pcn_taking){.bytes = room->bytes, .room = sizeof room->bytes};
}

static inline struct pcn_share traffic_make(struct pcn_arena *arena, uint64_t limit,
                                            bool joinable)
{
    struct pcn_share share = {.arena = arena};
    uint32_t hold;
    CHECK_EQ(pcn_object_create(arena, PCN_QUEUE, &share.name, &hold), PCN_OK);
    share.queue = pcn_queue_at(arena, share.name);
    share.hold = pcn_hold_at(arena, hold);
    pcn_queue_init(share.queue, limit, joinable);
    return share;
}

/* In another process: a hold of its own. */
static inline struct pcn_share traffic_share(struct pcn_arena *arena, struct pcn_name name)
{
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, name, &hold), PCN_OK);
    return (struct pcn_share){arena, name, pcn_queue_at(arena, name), pcn_hold_at(arena, hold)};
}

/* Item `number` has so many bytes, all of them made of the number. */
static inline uint64_t traffic_length(uint64_t number)
{
    return number % 97 == 96 ? TRAFFIC_LARGE : 8 + number % 50 * (number % 13);
}

static inline enum pcn_status traffic_put_sized(const struct pcn_share *share, uint64_t number,
                                                uint64_t length)
{
    static _Thread_local uint8_t bytes[2 * TRAFFIC_LARGE];
    memset(bytes, (int)(number % 251), length);
    memcpy(bytes, &number, sizeof number);
    struct pcn_item item = {.bytes = bytes, .length = length, .kind = 7};
    if (length > PCN_QUEUE_INLINE) {
        CHECK_EQ(pcn_block_allocate(share->arena, length, &item.block, true), PCN_OK);
        memcpy(pcn_block_bytes(share->arena, item.block), bytes, length);
    }
    uint32_t done;
    enum pcn_status status = pcn_queue_put(share, &item, 1, &done, true);
    CHECK_EQ(done, status == PCN_OK);
    if (status != PCN_OK && item.block)
        pcn_block_free(share->arena, item.block, false, true);
    return status;
}

static inline enum pcn_status traffic_put(const struct pcn_share *share, uint64_t number)
{
    return traffic_put_sized(share, number, traffic_length(number));
}

static inline uint64_t traffic_check(const struct pcn_item *item)
{
    uint64_t number;
    const uint8_t *bytes = item->bytes;
    CHECK_EQ(item->kind, 7);
    CHECK(item->length >= sizeof number);
    memcpy(&number, bytes, sizeof number);
    for (uint64_t i = sizeof number; i < item->length; i++)
        CHECK_EQ(bytes[i], number % 251);
    return number;
}

static inline void traffic_free(const struct pcn_share *share, struct traffic_room *room)
{
    if (room->taking.emptied)
        pcn_block_free(share->arena, room->taking.emptied, false, true);
    for (uint64_t at = 0; at < room->taking.used;) {
        struct pcn_item item = pcn_queue_taken(share, &room->taking, &at);
        if (item.block)
            pcn_block_free(share->arena, item.block, false, true);
    }
}

/* Take one item; its number. */
static inline enum pcn_status traffic_get(const struct pcn_share *share, uint64_t *number)
{
    struct traffic_room room;
    traffic_room_init(&room);
    enum pcn_status status = pcn_queue_get(share, 1, &room.taking, true);
    CHECK_EQ(room.taking.count, status == PCN_OK);
    uint64_t at = 0;
    if (status == PCN_OK) {
        struct pcn_item item = pcn_queue_taken(share, &room.taking, &at);
        *number = traffic_check(&item);
    }
    traffic_free(share, &room);
    return status;
}

static inline uint32_t traffic_blocks(const struct pcn_arena *arena)
{
    uint64_t bytes;
    uint32_t count;
    pcn_block_totals(arena, &bytes, &count);
    return count;
}

#endif
