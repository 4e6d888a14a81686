/* Memory: plain bytes as an object, found by an address within. */
#define _GNU_SOURCE
#include "family.h"

#include "memory.h"

struct memory {
    struct pcn_name name;
    uint32_t hold;
    uint8_t *bytes;
    uint64_t size;
};

static void take_in(struct pcn_arena *arena, struct memory *memory, pcn_block_id block,
                    uint64_t size)
{
    CHECK_EQ(pcn_object_create(arena, PCN_MEMORY, &memory->name, &memory->hold), PCN_OK);
    struct pcn_object *object = pcn_object_at(arena, memory->name.object);
    object->size = memory->size = size;
    object->block = block;
    if (block)
        pcn_block_give(arena, block, pcn_object_token(memory->name), memory->name.object);
    memory->bytes = pcn_memory_bytes(arena, memory->name.object);
}

static struct memory make(struct pcn_arena *arena, uint64_t size)
{
    struct memory memory;
    pcn_block_id block = 0;
    if (size > PCN_BODY)
        CHECK_EQ(pcn_block_allocate(arena, size, &block, true), PCN_OK);
    take_in(arena, &memory, block, size);
    return memory;
}

static struct memory make_frozen(struct pcn_arena *arena, uint64_t size)
{
    struct memory memory = make(arena, size);
    CHECK(!pcn_memory_is_frozen(arena, memory.name.object));
    pcn_memory_freeze(arena, memory.name.object);
    CHECK(pcn_memory_is_frozen(arena, memory.name.object));
    return memory;
}

static bool finds(struct pcn_arena *arena, const void *bytes, uint64_t length)
{
    struct pcn_name name;
    uint64_t offset;
    return pcn_memory_around(arena, bytes, length, &name, &offset);
}

/* These bytes of it are found, as what they are. */
static void check_found(struct pcn_arena *arena, const struct memory *memory, uint64_t offset,
                        uint64_t length)
{
    struct pcn_name name;
    uint64_t found;
    CHECK(pcn_memory_around(arena, memory->bytes + offset, length, &name, &found));
    CHECK_EQ(name.object, memory->name.object);
    CHECK_EQ(name.serial, memory->name.serial);
    CHECK_EQ(found, offset);
}

static void all_of_it_is_found(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    static const uint64_t sizes[] = {1, PCN_BODY, PCN_BODY + 1, 100000, 16000, 5u << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct memory memory = make_frozen(&arena, sizes[i]);
        check_found(&arena, &memory, 0, sizes[i]);
        check_found(&arena, &memory, sizes[i] - 1, 1);
        check_found(&arena, &memory, sizes[i] / 2, sizes[i] / 4);
        CHECK(!finds(&arena, memory.bytes, sizes[i] + 1));
        CHECK(!finds(&arena, memory.bytes + 1, sizes[i]));
        CHECK(!finds(&arena, memory.bytes + sizes[i] - 1, UINT64_MAX));
        CHECK(!finds(&arena, memory.bytes - 1, 1));
    }
}

static void each_of_many_is_found(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    enum { MANY = 200 };
    static struct memory memories[MANY];
    for (uint32_t i = 0; i < MANY; i++)
        memories[i] = make_frozen(&arena, 1000 + i * 100);
    for (uint32_t i = 1; i < MANY; i += 3) {
        pcn_object_release(&arena, memories[i].hold);
        CHECK(!finds(&arena, memories[i].bytes, 1));
    }
    for (uint32_t i = 0; i < MANY; i++) {
        if (i % 3 != 1)
            check_found(&arena, &memories[i], i, memories[i].size - i);
    }
}

static void what_may_be_written_is_not_found(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct memory small = make(&arena, 100), large = make(&arena, 100000);
    CHECK(!finds(&arena, small.bytes, 1));
    CHECK(!finds(&arena, large.bytes, 1));
    pcn_memory_freeze(&arena, large.name.object);
    CHECK(!finds(&arena, small.bytes, 1));
    check_found(&arena, &large, 0, 1);
}

static void what_is_no_memory_is_not_found(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct memory memory = make_frozen(&arena, 100000);
    struct pcn_name mutex, queue;
    uint32_t hold;
    pcn_block_id ours, its;
    CHECK_EQ(pcn_object_create(&arena, PCN_MUTEX, &mutex, &hold), PCN_OK);
    CHECK_EQ(pcn_object_create(&arena, PCN_QUEUE, &queue, &hold), PCN_OK);
    CHECK_EQ(pcn_block_allocate(&arena, 100000, &ours, true), PCN_OK);
    CHECK_EQ(pcn_block_allocate(&arena, 100000, &its, true), PCN_OK);
    pcn_block_give(&arena, its, pcn_object_token(queue), queue.object);
    CHECK(!finds(&arena, pcn_object_body(&arena, mutex.object), 1));
    CHECK(!finds(&arena, pcn_block_bytes(&arena, ours), 1));
    CHECK(!finds(&arena, pcn_block_bytes(&arena, its), 1));
    pcn_block_take_over(&arena, its);
    CHECK(!finds(&arena, pcn_block_bytes(&arena, its), 1));
    check_found(&arena, &memory, 0, 1);
}

static void what_lies_elsewhere_is_not_found(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint8_t here = 0;
    uint64_t last = PCN_OBJECTS_AT + (PCN_MAX_OBJECTS - 1ull) * PCN_OBJECT_SIZE;
    const uint64_t places[] = {0,           PCN_SLOTS_AT,        PCN_BLOCKS_AT,  PCN_OBJECTS_AT,
                               last,        PCN_HOLDS_AT,        PCN_SPOTS_AT,   PCN_DATA_AT,
                               arena.reserve - 1, arena.reserve, UINT64_MAX};
    for (int round = 0; round < 2; round++) { /* in an empty arena, and in another one */
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            if (round == 0 || (places[i] != PCN_OBJECTS_AT && places[i] != PCN_DATA_AT))
                CHECK(!finds(&arena, (const void *)((uintptr_t)arena.base + places[i]), 1));
        }
        CHECK(!finds(&arena, &here, 1));
        CHECK(!finds(&arena, NULL, 0));
        struct memory small = make_frozen(&arena, 10), large = make_frozen(&arena, 100000);
        check_found(&arena, &small, 0, 10);
        check_found(&arena, &large, 0, 100000);
    }
}

static void another_one_in_its_place_is_found_by_its_own_name(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct memory first = make_frozen(&arena, 100000);
    pcn_object_release(&arena, first.hold);
    struct memory second = make(&arena, 99000);
    CHECK(second.bytes == first.bytes);
    CHECK_EQ(second.name.object, first.name.object);
    CHECK(!finds(&arena, second.bytes, 1)); /* it is not frozen because the first one was */
    pcn_memory_freeze(&arena, second.name.object);
    check_found(&arena, &second, 0, 99000);
    CHECK(!finds(&arena, second.bytes, 99001));
}

static void all_of_joined_blocks_is_found(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, 0), PCN_OK);
    CHECK_EQ(pcn_owner_join(&arena, 0), PCN_OK);
    enum { MOST = 1000, SIZE = 1 << 20 };
    pcn_block_id blocks[MOST];
    uint32_t count = 0;
    while (count < MOST && pcn_block_allocate(&arena, SIZE, &blocks[count], true) == PCN_OK)
        count++;
    CHECK(count >= 5 && count < MOST);
    for (uint32_t i = 1; i <= 3; i++)
        CHECK_EQ(pcn_block_free(&arena, blocks[i], false, true), PCN_OK);
    struct memory memory = make_frozen(&arena, 3 * SIZE - 100);
    CHECK(memory.bytes == pcn_block_bytes(&arena, blocks[1]));
    for (uint64_t offset = 0; offset < memory.size; offset += SIZE / 2)
        check_found(&arena, &memory, offset, 1);
    check_found(&arena, &memory, 10, memory.size - 10);
    CHECK(!finds(&arena, memory.bytes + memory.size, 1));
    CHECK(!finds(&arena, pcn_block_bytes(&arena, blocks[4]), 1));
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void look_at_it(struct pcn_arena *arena, void *context)
{
    struct memory *memory = context;
    check_found(arena, memory, 10, memory->size - 10);
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, memory->name, &hold), PCN_OK);
    raise(SIGKILL);
}

static void a_dead_holder_keeps_nothing(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct memory memory = make_frozen(&arena, 100000);
    CHECK(!family_wait(family_fork(&arena, look_at_it, &memory)));
    pcn_object_release(&arena, memory.hold);
    check_found(&arena, &memory, 0, 1); /* nobody has swept yet */
    pcn_recover_all(&arena);
    CHECK(!finds(&arena, memory.bytes, 1));
    uint64_t bytes;
    uint32_t count;
    pcn_block_totals(&arena, &bytes, &count);
    CHECK_EQ(count, 0);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static const struct check_case cases[] = {
    CHECK_CASE(all_of_it_is_found),
    CHECK_CASE(each_of_many_is_found),
    CHECK_CASE(what_may_be_written_is_not_found),
    CHECK_CASE(what_is_no_memory_is_not_found),
    CHECK_CASE(what_lies_elsewhere_is_not_found),
    CHECK_CASE(another_one_in_its_place_is_found_by_its_own_name),
    CHECK_CASE(all_of_joined_blocks_is_found),
    CHECK_CASE(a_dead_holder_keeps_nothing),
};
CHECK_MAIN(cases)
