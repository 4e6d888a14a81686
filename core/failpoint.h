/* Fail points: named places at which a test may have the process SIGKILLed.
 *
 * Compiled in only with PCN_FAILPOINTS. The points that a process passes are numbered
 * 1, 2, 3 ... from the moment pcn_failpoint_arm() is called; at the armed number the
 * process kills itself, exactly there. A test raises the number until a run gets
 * through: then every point on the path has been died at. */
#ifndef PCN_FAILPOINT_H
#define PCN_FAILPOINT_H

#include <stdint.h>

#ifdef PCN_FAILPOINTS
void pcn_failpoint_pass(const char *name);
#define PCN_FAILPOINT(name) pcn_failpoint_pass(name)
#else
#define PCN_FAILPOINT(name) ((void)0)
#endif

/* Kill this process at the `number`-th point passed from now on (0: never).
 * Returns 0, or -1 where fail points are not compiled in. */
int pcn_failpoint_arm(uint64_t number);

/* How many points this process has passed since the last arming. */
uint64_t pcn_failpoint_passed(void);

/* The name of the last point passed ("" before the first). */
const char *pcn_failpoint_last(void);

#endif
