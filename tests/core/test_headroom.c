/* How much memory there is, as read from what the system shows: here, files that a test wrote. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "block.h"
#include "check.h"
#include "family.h"
#include "headroom.h"
#include "platform.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static char root[64], proc[128], cgroups[128];
static const struct pcn_system here = {proc, cgroups};

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_all(void)
{
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", folder, name);
    for (char *end = strchr(path + strlen(root) + 1, '/'); end; end = strchr(end + 1, '/')) {
        *end = 0;
        CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
        *end = '/';
    }
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK_EQ(fclose(file), 0);
}

static void write_number(const char *name, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)number);
    write_file(cgroups, name, text);
}

/* A machine of 16 GiB, of which 10 can be had. */
static void make_machine(const char *groups)
{
    snprintf(root, sizeof root, "/tmp/procession-headroom-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    atexit(remove_all);
    snprintf(proc, sizeof proc, "%s/proc", root);
    snprintf(cgroups, sizeof cgroups, "%s/cgroup", root);
    write_file(proc, "/meminfo",
               "MemTotal:       16777216 kB\nMemFree:         1000000 kB\n"
               "MemAvailable:   10485760 kB\nCached:           123456 kB\n"
               "CommitLimit:     8388608 kB\nCommitted_AS:    6291456 kB\n");
    write_file(proc, "/sys/vm/overcommit_memory", "0\n");
    write_file(proc, "/self/cgroup", groups);
}

static void the_machine_is_a_limit(void)
{
    make_machine("0::/\n");
    CHECK_EQ(pcn_memory_limit_of(&here), 16 * GIB);
    CHECK_EQ(pcn_headroom_of(&here), 10 * GIB - 64 * MIB); /* something is left over */
}

static void strict_accounting_is_a_limit(void)
{
    make_machine("");
    write_file(proc, "/sys/vm/overcommit_memory", "2\n");
    CHECK_EQ(pcn_memory_limit_of(&here), 8 * GIB);
    CHECK_EQ(pcn_headroom_of(&here), 2 * GIB - 64 * MIB);
    write_file(proc, "/sys/vm/overcommit_memory", "1\n");
    CHECK_EQ(pcn_memory_limit_of(&here), 16 * GIB);
}

static void a_group_is_a_limit(void)
{
    make_machine("0::/app/job\n");
    write_number("/app/job/memory.max", 2 * GIB);
    write_number("/app/job/memory.current", GIB);
    CHECK_EQ(pcn_memory_limit_of(&here), 2 * GIB);
    CHECK_EQ(pcn_headroom_of(&here), GIB - 32 * MIB);
    /* What can be dropped is free; of what is in use more, half may be. */
    write_file(cgroups, "/app/job/memory.stat",
               "anon 5\nfile 99\ninactive_file 104857600\nactive_file 20971520\nslab 7\n");
    CHECK_EQ(pcn_headroom_of(&here), GIB - 32 * MIB + 110 * MIB);
    write_number("/app/job/memory.current", 3 * GIB);
    CHECK_EQ(pcn_headroom_of(&here), 0);
}

static void so_are_the_groups_that_it_is_in(void)
{
    make_machine("0::/app/job\n");
    write_file(cgroups, "/app/job/memory.max", "max\n");
    write_number("/app/job/memory.current", 5);
    write_number("/app/memory.max", 3 * GIB);
    write_number("/app/memory.current", 3 * GIB - 200 * MIB);
    CHECK_EQ(pcn_memory_limit_of(&here), 3 * GIB);
    CHECK_EQ(pcn_headroom_of(&here), (200 - 48) * MIB);
    write_number("/memory.max", GIB); /* a container's own, seen as the root */
    write_number("/memory.current", 0);
    CHECK_EQ(pcn_memory_limit_of(&here), GIB);
}

static void the_older_hierarchy_is_read_too(void)
{
    make_machine("11:cpu,cpuacct:/docker/1234\n4:hugetlb,memory:/docker/1234\n"
                 "1:name=systemd:/memory\n0::/init.scope\n");
    write_number("/memory/docker/1234/memory.limit_in_bytes", 9223372036854771712u);
    write_number("/memory/docker/1234/memory.usage_in_bytes", 4096);
    CHECK_EQ(pcn_memory_limit_of(&here), 16 * GIB);
    write_number("/memory/docker/1234/memory.limit_in_bytes", 640 * MIB);
    write_number("/memory/docker/1234/memory.usage_in_bytes", 600 * MIB);
    write_file(cgroups, "/memory/docker/1234/memory.stat",
               "inactive_file 1\ntotal_inactive_file 104857600\ntotal_active_file 0\n");
    CHECK_EQ(pcn_memory_limit_of(&here), 640 * MIB);
    CHECK_EQ(pcn_headroom_of(&here), 130 * MIB);
    /* The path may be another namespace's: then the root is ours. */
    write_file(proc, "/self/cgroup", "4:memory:/elsewhere/5678\n");
    CHECK_EQ(pcn_memory_limit_of(&here), 16 * GIB);
    write_number("/memory/memory.limit_in_bytes", 64 * MIB);
    write_number("/memory/memory.usage_in_bytes", 0);
    CHECK_EQ(pcn_memory_limit_of(&here), 64 * MIB);
    CHECK_EQ(pcn_headroom_of(&here), 63 * MIB);
}

static void a_system_that_tells_nothing_is_no_limit(void)
{
    const struct pcn_system nowhere = {"/nonexistent", "/nonexistent"};
    CHECK_EQ(pcn_memory_limit_of(&nowhere), UINT64_MAX);
    CHECK_EQ(pcn_headroom_of(&nowhere), UINT64_MAX);
}

static void nonsense_does_no_harm(void)
{
    make_machine("");
    const char *const lines[] = {":", "::", ":::", "0:", "0::", "x\n\n0::\n", "4:memory",
                                 "4:memory:", "0::///", "memory:memory:memory",
                                 "4:memory:/a/../../../..\n0::no/slash"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        write_file(proc, "/self/cgroup", lines[i]);
        CHECK_EQ(pcn_memory_limit_of(&here), 16 * GIB);
    }
    char longest[5000];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "0::/", 4);
    longest[sizeof longest - 1] = 0;
    write_file(proc, "/self/cgroup", longest);
    CHECK_EQ(pcn_memory_limit_of(&here), 16 * GIB);
    write_file(proc, "/meminfo", "MemTotal\nMemAvailable: x\n");
    CHECK_EQ(pcn_memory_limit_of(&here), UINT64_MAX);
    CHECK_EQ(pcn_headroom_of(&here), UINT64_MAX);
}

static void this_system_tells(void)
{
    uint64_t limit = pcn_memory_limit();
    CHECK(limit > 64 * MIB && limit < UINT64_MAX);
    CHECK(pcn_headroom() <= limit);
    CHECK_EQ(pcn_default_budget(), limit / 4 * 3);
}

static void what_the_system_has_not_is_refused_and_not_touched(void)
{
    uint64_t headroom = pcn_headroom();
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, (uint64_t)1 << 44), PCN_OK);
    CHECK_EQ(pcn_owner_join(&arena, 0), PCN_OK);
    pcn_block_set_budget(&arena, 0);
    pcn_block_id id;
    errno = 0;
    CHECK_EQ(pcn_block_allocate(&arena, headroom * 2 + GIB, &id, true), PCN_NO_MEMORY);
    CHECK_EQ(errno, ENOMEM);
    CHECK(pcn_file_used(arena.fd) < MIB);
    CHECK_EQ(pcn_load_relaxed64(&pcn_head(&arena)->paged), 0);
    CHECK_VALID(pcn_validate_arena(&arena));
    CHECK_EQ(pcn_block_allocate(&arena, 2 * MIB, &id, true), PCN_OK);
}

static const struct check_case cases[] = {
    CHECK_CASE(the_machine_is_a_limit),
    CHECK_CASE(strict_accounting_is_a_limit),
    CHECK_CASE(a_group_is_a_limit),
    CHECK_CASE(so_are_the_groups_that_it_is_in),
    CHECK_CASE(the_older_hierarchy_is_read_too),
    CHECK_CASE(a_system_that_tells_nothing_is_no_limit),
    CHECK_CASE(nonsense_does_no_harm),
    CHECK_CASE(this_system_tells),
    CHECK_CASE(what_the_system_has_not_is_refused_and_not_touched),
};
CHECK_MAIN(cases)
