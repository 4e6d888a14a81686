#include "headroom.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

#define PCN_PATH_ROOM 1024u
#define PCN_TEXT_ROOM 16384u

/* The older hierarchy of groups writes the largest multiple of a page for "no limit". */
#define PCN_NO_LIMIT ((uint64_t)1 << 60)

/* What should be left over: a part of the whole, up to a fixed size. */
#define PCN_LEFT_PART 64u
#define PCN_LEFT_MOST (64ull << 20)

static uint64_t least(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static uint64_t difference(uint64_t from, uint64_t less)
{
    return from > less ? from - less : 0;
}

static uint64_t left_over(uint64_t whole)
{
    return least(whole / PCN_LEFT_PART, PCN_LEFT_MOST);
}

static bool read_text(const char *folder, const char *path, const char *name,
                      char text[PCN_TEXT_ROOM])
{
    char where[PCN_PATH_ROOM];
    int length = snprintf(where, sizeof where, "%s%s/%s", folder, path, name);
    return length > 0 && (size_t)length < sizeof where &&
           pcn_read_text(where, text, PCN_TEXT_ROOM);
}

/* The number behind `key` at the begin of a line; UINT64_MAX: there is none. */
static uint64_t number_of(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && (line[length] == ' ' || line[length] == ':')) {
            char *end;
            uint64_t number = strtoull(line + length + 1, &end, 10);
            return end == line + length + 1 ? UINT64_MAX : number;
        }
    }
    return UINT64_MAX;
}

static uint64_t or_none(uint64_t number)
{
    return number == UINT64_MAX ? 0 : number;
}

/* ---- the machine ---- */

struct machine {
    uint64_t total, available;
};

/* All of it, and under strict accounting no more than what may be committed. */
static struct machine machine_of(const struct pcn_system *system)
{
    char text[PCN_TEXT_ROOM], policy[PCN_TEXT_ROOM];
    struct machine machine = {UINT64_MAX, UINT64_MAX};
    if (!read_text(system->proc, "", "meminfo", text))
        return machine;
    uint64_t total = number_of(text, "MemTotal"), available = number_of(text, "MemAvailable");
    uint64_t most = number_of(text, "CommitLimit"), committed = number_of(text, "Committed_AS");
    if (total != UINT64_MAX)
        machine.total = total * 1024;
    if (available != UINT64_MAX)
        machine.available = available * 1024;
    if (most != UINT64_MAX && read_text(system->proc, "/sys/vm", "overcommit_memory", policy) &&
        policy[0] == '2') {
        machine.total = least(machine.total, most * 1024);
        if (committed != UINT64_MAX)
            machine.available = least(machine.available, difference(most, committed) * 1024);
    }
    if (machine.available != UINT64_MAX)
        machine.available = difference(machine.available, left_over(machine.total));
    return machine;
}

/* ---- control groups ---- */

/* How the two hierarchies name the same things. */
struct naming {
    const char *mounts[2];
    const char *limit, *usage;
    const char *caches[2]; /* that can be dropped, and of which perhaps the half can */
};

static const struct naming unified = {
    {"", "/unified"}, "memory.max", "memory.current", {"inactive_file", "active_file"}};
static const struct naming separate = {
    {"/memory", NULL}, "memory.limit_in_bytes", "memory.usage_in_bytes",
    {"total_inactive_file", "total_active_file"}};

static uint64_t limit_of(const char *folder, const char *path, const struct naming *names)
{
    char text[PCN_TEXT_ROOM];
    if (!read_text(folder, path, names->limit, text) || text[0] < '0' || text[0] > '9')
        return UINT64_MAX; /* no such group is seen from here, or it says "max" */
    uint64_t limit = strtoull(text, NULL, 10);
    return limit < PCN_NO_LIMIT ? limit : UINT64_MAX;
}

static uint64_t room_of(const char *folder, const char *path, const struct naming *names,
                        uint64_t limit)
{
    char text[PCN_TEXT_ROOM];
    if (!read_text(folder, path, names->usage, text))
        return UINT64_MAX;
    uint64_t used = strtoull(text, NULL, 10);
    if (read_text(folder, path, "memory.stat", text)) {
        used = difference(used, or_none(number_of(text, names->caches[0])));
        used = difference(used, or_none(number_of(text, names->caches[1])) / 2);
    }
    return difference(limit, used + left_over(limit));
}

/* The smallest of a group and its parents, as far as they are seen: a container's own group may be
 * the root here, under a path that is not. */
static uint64_t least_of_groups(const char *folder, char *path, const struct naming *names,
                                bool room)
{
    uint64_t found = UINT64_MAX;
    for (;;) {
        uint64_t limit = limit_of(folder, path, names);
        if (limit != UINT64_MAX)
            found = least(found, room ? room_of(folder, path, names, limit) : limit);
        char *end = strrchr(path, '/');
        if (!end)
            return found;
        *end = 0;
    }
}

/* Is `word` one of the words with commas between? */
static bool is_among(const char *words, size_t length, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = words; at < words + length;) {
        size_t span = strcspn(at, ",:");
        if (span == size && memcmp(at, word, size) == 0)
            return true;
        at += span + 1;
    }
    return false;
}

/* One line of the list of groups that a process is in: "number:controllers:path". */
static uint64_t least_of_line(const struct pcn_system *system, const char *line, bool room)
{
    const char *words = strchr(line, ':');
    const char *path = words ? strchr(++words, ':') : NULL;
    if (!path)
        return UINT64_MAX;
    bool is_unified = path == words;
    if (!is_unified && !is_among(words, (size_t)(path - words), "memory"))
        return UINT64_MAX;
    const struct naming *names = is_unified ? &unified : &separate;
    uint64_t found = UINT64_MAX;
    for (int i = 0; i < 2 && names->mounts[i]; i++) {
        char folder[PCN_PATH_ROOM], copy[PCN_PATH_ROOM];
        int length = snprintf(folder, sizeof folder, "%s%s", system->cgroups, names->mounts[i]);
        size_t size = strcspn(path + 1, "\n");
        if (length < 0 || (size_t)length >= sizeof folder || size >= sizeof copy)
            continue;
        memcpy(copy, path + 1, size);
        while (size > 0 && copy[size - 1] == '/')
            size--;
        copy[size] = 0;
        found = least(found, least_of_groups(folder, copy, names, room));
    }
    return found;
}

static uint64_t least_of_all_groups(const struct pcn_system *system, bool room)
{
    char text[PCN_TEXT_ROOM];
    uint64_t found = UINT64_MAX;
    if (!read_text(system->proc, "/self", "cgroup", text))
        return found;
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        found = least(found, least_of_line(system, line, room));
    }
    return found;
}

/* ---- */

uint64_t pcn_memory_limit_of(const struct pcn_system *system)
{
    return least(machine_of(system).total, least_of_all_groups(system, false));
}

uint64_t pcn_headroom_of(const struct pcn_system *system)
{
    return least(machine_of(system).available, least_of_all_groups(system, true));
}

static const struct pcn_system ours = {"/proc", "/sys/fs/cgroup"};

uint64_t pcn_memory_limit(void)
{
    return pcn_memory_limit_of(&ours);
}

uint64_t pcn_headroom(void)
{
    return pcn_headroom_of(&ours);
}

uint64_t pcn_default_budget(void)
{
    uint64_t limit = pcn_memory_limit();
    return limit == UINT64_MAX ? 0 : limit / 4 * 3;
}
