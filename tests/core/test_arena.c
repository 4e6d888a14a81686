/* The arena: made, mapped again, refused where it is another's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "block.h"
#include "family.h"
#include "platform.h"

static void a_new_arena_is_valid_and_small(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, 1ull << 36), PCN_OK);
    CHECK(arena.reserve >= FAMILY_RESERVE);
    CHECK_EQ(pcn_file_size(arena.fd), arena.reserve);
    CHECK_EQ(pcn_file_used(arena.fd), PCN_PAGE);
    CHECK_EQ(arena.me, 0);
    CHECK_VALID(pcn_validate_arena(&arena));
    pcn_arena_detach(&arena);
    CHECK(arena.base == NULL && arena.fd == -1);
}

static void a_tiny_reserve_is_raised_to_a_usable_one(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, 0), PCN_OK);
    CHECK_EQ(pcn_owner_join(&arena, 0), PCN_OK);
    pcn_block_id id;
    CHECK_EQ(pcn_block_allocate(&arena, 32u << 20, &id, true), PCN_OK);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_second_mapping_shows_the_same_arena(void)
{
    struct pcn_arena arena, other;
    family_make(&arena);
    pcn_block_id id;
    CHECK_EQ(pcn_block_allocate(&arena, 100000, &id, true), PCN_OK);
    memset(pcn_block_bytes(&arena, id), 0x5a, 100000);

    CHECK_EQ(pcn_arena_attach(&other, dup(arena.fd)), PCN_OK);
    CHECK(other.base != arena.base);
    CHECK_EQ(other.reserve, arena.reserve);
    CHECK_EQ(other.me, 0);
    CHECK_EQ(pcn_block_length(&other, id), 100000);
    CHECK_EQ(pcn_block_bytes(&other, id)[99999], 0x5a);
    CHECK(pcn_owner_alive(&other, arena.me));
    CHECK_VALID(pcn_validate_arena(&other));
    pcn_arena_detach(&other);
    CHECK_EQ(pcn_block_bytes(&arena, id)[0], 0x5a);
}

static void the_memory_outlives_its_maker(void)
{
    struct pcn_arena first, second;
    CHECK_EQ(pcn_arena_create(&first, FAMILY_RESERVE), PCN_OK);
    int fd = dup(first.fd);
    pcn_arena_detach(&first);
    CHECK_EQ(pcn_arena_attach(&second, fd), PCN_OK);
    CHECK_VALID(pcn_validate_arena(&second));
    pcn_arena_detach(&second);
    CHECK_EQ(fcntl(fd, F_GETFD), -1); /* the descriptor was the arena's */
}

static void refused(int fd)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_attach(&arena, fd), PCN_REFUSED);
    CHECK(arena.base == NULL && arena.fd == -1);
    CHECK(fcntl(fd, F_GETFD) != -1); /* still the caller's */
}

static void another_layout_is_refused(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, FAMILY_RESERVE), PCN_OK);
    pcn_head(&arena)->stamp ^= 1;
    refused(arena.fd);
    pcn_head(&arena)->stamp ^= 1;
    pcn_head(&arena)->magic += 1;
    refused(arena.fd);
    pcn_head(&arena)->magic -= 1;
    pcn_head(&arena)->reserve += PCN_PAGE;
    refused(arena.fd);
}

static void what_is_no_arena_is_refused(void)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    refused(ends[0]);
    refused(pcn_memory_file("empty", 0));
    refused(pcn_memory_file("hole", FAMILY_RESERVE));
    int zeros = pcn_memory_file("zeros", FAMILY_RESERVE);
    CHECK_EQ(pcn_reserve_pages(zeros, 0, PCN_PAGE), 0);
    refused(zeros);
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_attach(&arena, -1), PCN_REFUSED);
}

static void limit_files(uint64_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_refused_size_is_halved(void)
{
    limit_files(300u << 20);
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, 1ull << 30), PCN_OK);
    CHECK_EQ(arena.reserve, 256u << 20);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_limit_of_addresses_makes_it_smaller(void)
{
    /* Large, as AddressSanitizer has many TiB in use. */
    struct rlimit limit = {(uint64_t)1 << 46, (uint64_t)1 << 46};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, (uint64_t)1 << 45), PCN_OK);
    CHECK_EQ(arena.reserve, (uint64_t)1 << 44);
    CHECK_EQ(pcn_head(&arena)->reserve, (uint64_t)1 << 44);
    CHECK_EQ(pcn_head(&arena)->wanted, (uint64_t)1 << 45);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_budget_is_not_beyond_the_addresses(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, FAMILY_RESERVE), PCN_OK);
    CHECK_EQ(pcn_head(&arena)->wanted, FAMILY_RESERVE);
    CHECK(pcn_block_budget(&arena) > 0);
    CHECK(pcn_block_budget(&arena) <= FAMILY_RESERVE - PCN_DATA_AT);
}

static void shortage_is_an_answer(void)
{
    limit_files(1u << 20);
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, 1ull << 30), PCN_NO_MEMORY);
    CHECK(errno != 0);
}

static void the_map_has_no_overlaps(void)
{
    CHECK(PCN_SLOTS_AT >= sizeof(struct pcn_head));
    CHECK(PCN_BLOCKS_AT >= PCN_SLOTS_AT + PCN_MAX_SLOTS * sizeof(struct pcn_slot));
    CHECK(PCN_DATA_AT >= PCN_BLOCKS_AT + PCN_MAX_BLOCKS * sizeof(struct pcn_block));
    CHECK(PCN_MAX_SLOTS <= 1u << 16); /* a token has 16 bits for the slot */
}

static const struct check_case cases[] = {
    CHECK_CASE(a_new_arena_is_valid_and_small),
    CHECK_CASE(a_tiny_reserve_is_raised_to_a_usable_one),
    CHECK_CASE(a_second_mapping_shows_the_same_arena),
    CHECK_CASE(the_memory_outlives_its_maker),
    CHECK_CASE(another_layout_is_refused),
    CHECK_CASE(what_is_no_arena_is_refused),
    CHECK_CASE(a_refused_size_is_halved),
    CHECK_CASE(a_limit_of_addresses_makes_it_smaller),
    CHECK_CASE(a_budget_is_not_beyond_the_addresses),
    CHECK_CASE(shortage_is_an_answer),
    CHECK_CASE(the_map_has_no_overlaps),
};
CHECK_MAIN(cases)
