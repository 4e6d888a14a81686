/* The byte ring: order, bounds, wrap-around; many producers and consumers in processes. */
#define _GNU_SOURCE
#include "ring_traffic.h"

#include "lock.h"

struct small {
    struct pcn_arena arena;
    struct pcn_ring *ring;
};

static struct small small_ring(uint64_t capacity)
{
    struct small small;
    family_make(&small.arena);
    pcn_block_id block;
    CHECK_EQ(pcn_block_allocate(&small.arena, capacity + 8192, &block, true), PCN_OK);
    /* Bytes beyond the ring's, to see that it never touches them. */
    memset(pcn_block_bytes(&small.arena, block), 0xee, capacity + 8192);
    small.ring = family_memory(sizeof *small.ring);
    pcn_ring_init(small.ring, pcn_block_offset(&small.arena, block) + 4096, capacity);
    return small;
}

static void check_margins(const struct small *small)
{
    const uint8_t *data = small->arena.base + small->ring->data;
    for (int i = 0; i < 4096; i++)
        CHECK(data[-1 - i] == 0xee && data[small->ring->capacity + (uint64_t)i] == 0xee);
}

static enum pcn_status push(struct small *small, const void *bytes, uint64_t length)
{
    const struct pcn_part part = {bytes, length};
    return pcn_ring_push(&small->arena, small->ring, &part, 1, true, NULL);
}

static enum pcn_status pop_bytes(struct small *small, void *to, uint64_t *length)
{
    CHECK_EQ(pcn_ring_lock(&small->arena, small->ring, true), PCN_OK);
    uint64_t position = pcn_ring_tail(small->ring);
    enum pcn_status status = pcn_ring_look(&small->arena, small->ring, position, length);
    if (status == PCN_OK) {
        pcn_ring_copy(&small->arena, small->ring, position, 0, to, *length);
        pcn_ring_retire(small->ring, pcn_ring_next(position, *length));
    }
    pcn_ring_unlock(small->ring);
    CHECK_VALID(pcn_validate_ring(&small->arena, small->ring));
    return status;
}

static void what_goes_in_comes_out_in_order(void)
{
    struct small small = small_ring(4096);
    CHECK(!pcn_ring_has_records(small.ring));
    for (uint64_t i = 0; i < 10; i++)
        CHECK_EQ(push(&small, &i, sizeof i), PCN_OK);
    CHECK(pcn_ring_has_records(small.ring));
    for (uint64_t i = 0; i < 10; i++) {
        uint64_t got, length;
        CHECK_EQ(pop_bytes(&small, &got, &length), PCN_OK);
        CHECK_EQ(length, sizeof got);
        CHECK_EQ(got, i);
    }
    uint64_t got, length;
    CHECK_EQ(pop_bytes(&small, &got, &length), PCN_EMPTY);
    CHECK(!pcn_ring_has_records(small.ring));
}

static void an_empty_record_is_a_record(void)
{
    struct small small = small_ring(64);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(push(&small, NULL, 0), PCN_OK);
    CHECK_EQ(push(&small, NULL, 0), PCN_FULL);
    for (int i = 0; i < 8; i++) {
        uint64_t length = 1;
        CHECK_EQ(pop_bytes(&small, NULL, &length), PCN_OK);
        CHECK_EQ(length, 0);
    }
}

static void a_record_may_fill_the_ring_and_no_more(void)
{
    struct small small = small_ring(256);
    uint8_t bytes[256], back[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    CHECK_EQ(pcn_ring_limit(small.ring), 248);
    for (uint64_t shift = 0; shift < 40; shift++) { /* beginning at every place */
        uint64_t length;
        CHECK_EQ(push(&small, bytes, 249), PCN_TOO_BIG);
        CHECK_EQ(push(&small, bytes, 248), PCN_OK);
        CHECK_EQ(push(&small, NULL, 0), PCN_FULL);
        CHECK_EQ(pop_bytes(&small, back, &length), PCN_OK);
        CHECK_EQ(length, 248);
        CHECK_EQ(memcmp(bytes, back, 248), 0);
        CHECK_EQ(push(&small, bytes, shift), PCN_OK);
        CHECK_EQ(pop_bytes(&small, back, &length), PCN_OK);
    }
    check_margins(&small);
}

static void full_is_exact(void)
{
    struct small small = small_ring(128);
    uint8_t bytes[64] = {0};
    CHECK_EQ(push(&small, bytes, 56), PCN_OK); /* 64 with its head */
    CHECK_EQ(push(&small, bytes, 57), PCN_FULL);
    CHECK_EQ(push(&small, bytes, 56), PCN_OK);
    CHECK_EQ(push(&small, bytes, 0), PCN_FULL);
    uint64_t length;
    CHECK_EQ(pop_bytes(&small, bytes, &length), PCN_OK);
    CHECK_EQ(push(&small, bytes, 56), PCN_OK);
}

static void a_busy_producer_is_not_waited_for(void)
{
    struct small small = small_ring(128);
    CHECK_EQ(pcn_lock_acquire(&small.arena, &small.ring->produce, small.arena.me), PCN_OK);
    const struct pcn_part part = {"x", 1};
    CHECK_EQ(pcn_ring_push(&small.arena, small.ring, &part, 1, false, NULL), PCN_BUSY);
    pcn_lock_release(&small.ring->produce);
    CHECK_EQ(pcn_ring_lock(&small.arena, small.ring, false), PCN_OK);
    CHECK_EQ(pcn_ring_lock(&small.arena, small.ring, false), PCN_BUSY);
    CHECK_EQ(pcn_ring_push(&small.arena, small.ring, &part, 1, false, NULL), PCN_OK);
    pcn_ring_unlock(small.ring);
}

/* Against a model: a list of lengths and seeds. */
static void random_traffic_matches_a_model(void)
{
    struct small small = small_ring(1024);
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15u;
        struct {
            uint64_t length;
            uint8_t first;
        } model[128];
        uint32_t begin = 0, end = 0;
        uint64_t used = 0;
        snprintf(check_context, sizeof check_context, "seed %llu", (unsigned long long)seed);
        for (int step = 0; step < 3000; step++) {
            uint8_t bytes[1024];
            if (check_random(&random) % 2) {
                uint64_t length = check_random(&random) % 300;
                uint8_t first = (uint8_t)check_random(&random);
                uint64_t head = length / 2;
                for (uint64_t i = 0; i < length; i++)
                    bytes[i] = (uint8_t)(first + i);
                const struct pcn_part parts[] = {{bytes, head}, {bytes + head, length - head}};
                uint64_t need = 8 + (length + 7) / 8 * 8;
                enum pcn_status got = pcn_ring_push(&small.arena, small.ring, parts, 2, true, NULL);
                CHECK_EQ(got, used + need > 1024 ? PCN_FULL : PCN_OK);
                if (got == PCN_OK) {
                    model[end % 128].length = length;
                    model[end++ % 128].first = first;
                    used += need;
                }
            } else {
                uint64_t length;
                enum pcn_status got = pop_bytes(&small, bytes, &length);
                CHECK_EQ(got, begin == end ? PCN_EMPTY : PCN_OK);
                if (got == PCN_OK) {
                    CHECK_EQ(length, model[begin % 128].length);
                    for (uint64_t i = 0; i < length; i++)
                        CHECK_EQ(bytes[i], (uint8_t)(model[begin % 128].first + i));
                    used -= 8 + (length + 7) / 8 * 8;
                    begin++;
                }
            }
        }
        uint8_t rest[1024];
        uint64_t length;
        while (pop_bytes(&small, rest, &length) == PCN_OK)
            continue;
    }
    check_margins(&small);
}

static void several_records_are_looked_at_before_one_retire(void)
{
    struct small small = small_ring(256);
    for (uint32_t i = 0; i < 5; i++)
        CHECK_EQ(push(&small, &i, sizeof i), PCN_OK);
    CHECK_EQ(pcn_ring_lock(&small.arena, small.ring, true), PCN_OK);
    uint64_t position = pcn_ring_tail(small.ring), length;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t got;
        CHECK_EQ(pcn_ring_look(&small.arena, small.ring, position, &length), PCN_OK);
        pcn_ring_copy(&small.arena, small.ring, position, 0, &got, sizeof got);
        CHECK_EQ(got, i);
        position = pcn_ring_next(position, length);
    }
    pcn_ring_retire(small.ring, position);
    pcn_ring_unlock(small.ring);
    uint32_t got;
    CHECK_EQ(pop_bytes(&small, &got, &length), PCN_OK);
    CHECK_EQ(got, 3);
}

struct party {
    struct traffic *traffic;
    uint32_t number;
};

static void be_a_producer(struct pcn_arena *arena, void *context)
{
    struct party *party = context;
    produce(arena, party->traffic, party->number);
}

static void be_a_consumer(struct pcn_arena *arena, void *context)
{
    struct party *party = context;
    consume(arena, party->traffic);
}

static void many_processes_lose_double_and_reorder_nothing(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct traffic *traffic = family_memory(sizeof *traffic);
    traffic_init(&arena, traffic);
    pid_t children[TRAFFIC_PRODUCERS + TRAFFIC_CONSUMERS];
    for (uint32_t i = 0; i < TRAFFIC_PRODUCERS + TRAFFIC_CONSUMERS; i++) {
        struct party party = {traffic, i};
        children[i] =
            family_fork(&arena, i < TRAFFIC_PRODUCERS ? be_a_producer : be_a_consumer, &party);
    }
    for (uint32_t i = 0; i < TRAFFIC_PRODUCERS + TRAFFIC_CONSUMERS; i++)
        CHECK(family_wait(children[i]));
    check_conservation(&arena, traffic);
}

static const struct check_case cases[] = {
    CHECK_CASE(what_goes_in_comes_out_in_order),
    CHECK_CASE(an_empty_record_is_a_record),
    CHECK_CASE(a_record_may_fill_the_ring_and_no_more),
    CHECK_CASE(full_is_exact),
    CHECK_CASE(a_busy_producer_is_not_waited_for),
    CHECK_CASE(random_traffic_matches_a_model),
    CHECK_CASE(several_records_are_looked_at_before_one_retire),
    CHECK_CASE(many_processes_lose_double_and_reorder_nothing),
};
CHECK_MAIN(cases)
