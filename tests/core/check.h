/* The smallest test frame: checks that name their place, and one process a case.
 *
 * Every case runs in a process of its own: a life lock belongs to a process, and what one
 * case kills can not trouble the next. A watchdog ends a case that hangs. */
#ifndef PCN_TEST_CHECK_H
#define PCN_TEST_CHECK_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CHECK_WATCHDOG_S
#define CHECK_WATCHDOG_S 60
#endif

#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition))                                                                   \
            check_failed(__FILE__, __LINE__, #condition);                                   \
    } while (0)

#define CHECK_EQ(left, right)                                                               \
    do {                                                                                    \
        long long check_left = (long long)(left), check_right = (long long)(right);         \
        if (check_left != check_right)                                                      \
            check_differ(__FILE__, __LINE__, #left " == " #right, check_left, check_right); \
    } while (0)

/* For the validators: NULL, or what is wrong. */
#define CHECK_VALID(verdict)                                                                \
    do {                                                                                    \
        const char *check_verdict = (verdict);                                              \
        if (check_verdict)                                                                  \
            check_failed(__FILE__, __LINE__, check_verdict);                                \
    } while (0)

/* What the test was about when it failed; set where a loop runs many variants. */
static char check_context[128];

_Noreturn static inline void check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s%s%s\n", file, line, what, *check_context ? " | " : "",
            check_context);
    _exit(1);
}

_Noreturn static inline void check_differ(const char *file, int line, const char *what,
                                          long long left, long long right)
{
    fprintf(stderr, "%s:%d: %s: %lld and %lld%s%s\n", file, line, what, left, right,
            *check_context ? " | " : "", check_context);
    _exit(1);
}

struct check_case {
    const char *name;
    void (*run)(void);
};

#define CHECK_CASE(function)                                                                \
    {                                                                                       \
        #function, function                                                                 \
    }

/* Run all cases (or the one that the first argument names). Returns main()'s status. */
static inline int check_run(const struct check_case *cases, size_t count, int argc, char **argv)
{
    size_t passed = 0;
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) != 0)
            continue;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            alarm(CHECK_WATCHDOG_S);
            cases[i].run();
            exit(0); /* not _exit(): the sanitizers report at exit */
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0) {
            fprintf(stderr, "%s: %s failed (%s %d)\n", argv[0], cases[i].name,
                    WIFSIGNALED(status) ? "signal" : "exit status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            return 1;
        }
        passed++;
    }
    printf("%s: %zu passed\n", argv[0], passed);
    return passed == 0;
}

#define CHECK_MAIN(cases)                                                                   \
    int main(int argc, char **argv)                                                         \
    {                                                                                       \
        return check_run(cases, sizeof(cases) / sizeof *(cases), argc, argv);               \
    }

/* Random numbers that are the same in every run (xorshift64). */
static inline uint64_t check_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
