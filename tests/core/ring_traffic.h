/* Producers and consumers on one ring: shared by the process and thread tests. Every record
 * says who made it and which it is, so that a lost, doubled, torn or overtaken one shows. */
#ifndef PCN_TEST_RING_TRAFFIC_H
#define PCN_TEST_RING_TRAFFIC_H

#include "block.h"
#include "doorbell.h"
#include "family.h"
#include "ring.h"

#define TRAFFIC_PRODUCERS 3
#define TRAFFIC_CONSUMERS 2
#define TRAFFIC_RECORDS 4000u /* a producer */
#define TRAFFIC_LONGEST 200u
#define TRAFFIC_CAPACITY 1024u

struct traffic {
    struct pcn_ring ring;
    struct pcn_doorbell arrived;
    pcn_atomic32 taken; /* records, in all */
    pcn_atomic32 times[TRAFFIC_PRODUCERS][TRAFFIC_RECORDS];
};

struct traffic_record {
    uint32_t producer;
    uint32_t number;
    uint8_t bytes[TRAFFIC_LONGEST];
};

static inline uint32_t traffic_length(uint32_t producer, uint32_t number)
{
    return (number * 7u + producer * 13u) % TRAFFIC_LONGEST;
}

static inline void traffic_init(struct pcn_arena *arena, struct traffic *traffic)
{
    pcn_block_id block;
    CHECK_EQ(pcn_block_allocate(arena, TRAFFIC_CAPACITY, &block, true), PCN_OK);
    pcn_ring_init(&traffic->ring, pcn_block_offset(arena, block), TRAFFIC_CAPACITY);
}

static inline void produce(struct pcn_arena *arena, struct traffic *traffic, uint32_t producer)
{
    for (uint32_t number = 0; number < TRAFFIC_RECORDS; number++) {
        struct traffic_record record = {.producer = producer, .number = number};
        uint32_t length = traffic_length(producer, number);
        memset(record.bytes, (int)(number ^ producer), length);
        /* Three parts: the record is gathered from where it lies. */
        const struct pcn_part parts[] = {
            {&record.producer, 4}, {&record.number, 4}, {record.bytes, length}};
        struct pcn_ring *ring = &traffic->ring;
        for (;;) {
            enum pcn_status got = pcn_ring_push(arena, ring, parts, 3, number % 2 == 0, NULL);
            if (got == PCN_OK)
                break;
            if (got == PCN_BUSY)
                continue;
            CHECK_EQ(got, PCN_FULL);
            uint32_t ticket = pcn_doorbell_arm(&ring->drained);
            if (pcn_ring_push(arena, ring, parts, 3, true, NULL) == PCN_OK)
                break;
            CHECK(pcn_doorbell_sleep(&ring->drained, ticket, FAMILY_PATIENCE_NS) !=
                  PCN_SLEPT_TIMEOUT);
        }
        pcn_doorbell_ring(&traffic->arrived);
    }
}

/* Pop one record. With the lock held only for the copy, as the channel does. */
static inline enum pcn_status pop(struct pcn_arena *arena, struct pcn_ring *ring,
                                  struct traffic_record *record, uint64_t *length)
{
    enum pcn_status got = pcn_ring_lock(arena, ring, true);
    CHECK(got == PCN_OK || got == PCN_OWNER_DIED);
    uint64_t position = pcn_ring_tail(ring);
    enum pcn_status status = pcn_ring_look(arena, ring, position, length);
    if (status == PCN_OK) {
        CHECK(*length <= sizeof *record);
        pcn_ring_copy(arena, ring, position, 0, record, *length);
        pcn_ring_retire(ring, pcn_ring_next(position, *length));
    }
    pcn_ring_unlock(ring);
    if (status == PCN_OK)
        pcn_ring_report_space(ring);
    return status;
}

static inline void check_record(const struct traffic_record *record, uint64_t length)
{
    CHECK(record->producer < TRAFFIC_PRODUCERS && record->number < TRAFFIC_RECORDS);
    uint32_t expected = traffic_length(record->producer, record->number);
    CHECK_EQ(length, expected + 8u);
    for (uint32_t i = 0; i < expected; i++)
        CHECK_EQ(record->bytes[i], (uint8_t)(record->number ^ record->producer));
}

static inline void consume(struct pcn_arena *arena, struct traffic *traffic)
{
    int64_t last[TRAFFIC_PRODUCERS] = {-1, -1, -1};
    while (pcn_load_relaxed32(&traffic->taken) < TRAFFIC_PRODUCERS * TRAFFIC_RECORDS) {
        struct traffic_record record;
        uint64_t length;
        if (pop(arena, &traffic->ring, &record, &length) == PCN_EMPTY) {
            uint32_t ticket = pcn_doorbell_arm(&traffic->arrived);
            if (pcn_ring_has_records(&traffic->ring) ||
                pcn_load_relaxed32(&traffic->taken) == TRAFFIC_PRODUCERS * TRAFFIC_RECORDS)
                continue;
            CHECK(pcn_doorbell_sleep(&traffic->arrived, ticket, FAMILY_PATIENCE_NS) !=
                  PCN_SLEPT_TIMEOUT);
            continue;
        }
        check_record(&record, length);
        CHECK(record.number > last[record.producer]); /* a producer's order is kept */
        last[record.producer] = record.number;
        CHECK_EQ(pcn_add_relaxed32(&traffic->times[record.producer][record.number], 1), 0);
        if (pcn_add_relaxed32(&traffic->taken, 1) + 1 == TRAFFIC_PRODUCERS * TRAFFIC_RECORDS)
            pcn_doorbell_broadcast(&traffic->arrived);
        else if (pcn_ring_has_records(&traffic->ring))
            pcn_doorbell_ring(&traffic->arrived);
        /* The ring has room again: whoever else waits for it is woken in turn. */
        pcn_doorbell_ring(&traffic->ring.drained);
    }
}

static inline void check_conservation(struct pcn_arena *arena, struct traffic *traffic)
{
    for (uint32_t producer = 0; producer < TRAFFIC_PRODUCERS; producer++) {
        for (uint32_t number = 0; number < TRAFFIC_RECORDS; number++)
            CHECK_EQ(pcn_load_relaxed32(&traffic->times[producer][number]), 1);
    }
    CHECK(!pcn_ring_has_records(&traffic->ring));
    CHECK_VALID(pcn_validate_ring(arena, &traffic->ring));
}

#endif
