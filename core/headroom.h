/* How much memory there is, and how much of it the system can still give. */
#ifndef PCN_HEADROOM_H
#define PCN_HEADROOM_H

#include <stdint.h>

/* Where the system tells it. */
struct pcn_system {
    const char *proc;    /* "/proc" */
    const char *cgroups; /* "/sys/fs/cgroup" */
};

/* Bytes that this process and those that share its control groups may have: of the machine, and by
 * each limit of a group or its parents. With strict accounting (vm.overcommit_memory=2) also by the
 * limit of that. UINT64_MAX: the system does not tell. */
uint64_t pcn_memory_limit_of(const struct pcn_system *system);

/* Bytes that can be had now before the system, or a group, has to kill somebody; less what should
 * be left over for other things than ours. Page caches that can be dropped count as free.
 * UINT64_MAX: the system does not tell. */
uint64_t pcn_headroom_of(const struct pcn_system *system);

/* The same of the system that we run on. */
uint64_t pcn_memory_limit(void);
uint64_t pcn_headroom(void);

/* What blocks may have unless somebody says otherwise: three quarters of the limit; 0: unknown. */
uint64_t pcn_default_budget(void);

#endif
