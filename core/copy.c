#include "copy.h"

#include <string.h>

#define PCN_COPY_PAGE 4096u
#define PCN_COPY_LINE 64u
#define PCN_COPY_AHEAD 128u /* bytes that are asked for in advance; no address is a wrong one */
/* The two runs of a pair. No multiple of 4 KiB: loads of the second run would look to the processor
 * like the stores of the first one, wherever the target begins 64 to 320 bytes further into its page
 * than the source, and that takes four times as long. */
#define PCN_COPY_APART 33792u

enum maker { UNKNOWN, INTEL, AMD };

#ifdef __SSE2__

#include <emmintrin.h>

static void copy_line(uint8_t *to, const uint8_t *from)
{
    _mm_prefetch((const char *)from + PCN_COPY_AHEAD, _MM_HINT_T0);
    __m128i first = _mm_loadu_si128((const __m128i *)(const void *)from);
    __m128i second = _mm_loadu_si128((const __m128i *)(const void *)(from + 16));
    __m128i third = _mm_loadu_si128((const __m128i *)(const void *)(from + 32));
    __m128i fourth = _mm_loadu_si128((const __m128i *)(const void *)(from + 48));
    _mm_stream_si128((__m128i *)(void *)to, first);
    _mm_stream_si128((__m128i *)(void *)(to + 16), second);
    _mm_stream_si128((__m128i *)(void *)(to + 32), third);
    _mm_stream_si128((__m128i *)(void *)(to + 48), fourth);
}

/* Whole groups of runs, which are copied side by side, a line of each in turn; the target's begin
 * at a line. Returns the bytes copied. */
static inline uint64_t copy_groups(uint8_t *to, const uint8_t *from, uint64_t length,
                                   const uint64_t runs, const uint64_t apart)
{
    uint64_t done = 0, group = runs * apart;
    for (; length - done >= group; done += group)
        for (uint64_t line = done; line < done + apart; line += PCN_COPY_LINE)
            for (uint64_t run = 0; run < group; run += apart)
                copy_line(to + line + run, from + line + run);
    return done;
}

void pcn_copy_past_caches(uint8_t *to, const uint8_t *from, uint64_t length, enum pcn_order order)
{
    uint64_t done = -(uintptr_t)to % PCN_COPY_LINE;
    if (done > length)
        done = length;
    memcpy(to, from, done);
    if (order == PCN_PAIRS)
        done += copy_groups(to + done, from + done, length - done, 2, PCN_COPY_APART);
    else
        done += copy_groups(to + done, from + done, length - done, 4, PCN_COPY_PAGE);
    done += copy_groups(to + done, from + done, length - done, 1, PCN_COPY_LINE);
    _mm_sfence(); /* these stores are ordered by nothing else */
    memcpy(to + done, from + done, length - done);
}

static enum maker maker(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") ? INTEL : __builtin_cpu_is("amd") ? AMD : UNKNOWN;
}

#else

static enum maker maker(void)
{
    return UNKNOWN;
}

void pcn_copy_past_caches(uint8_t *to, const uint8_t *from, uint64_t length, enum pcn_order order)
{
    (void)order;
    memcpy(to, from, length);
}

#endif

void pcn_copy(uint8_t *to, const void *from, uint64_t length)
{
    enum maker made_by = length < PCN_LEAST_PAST_CACHES ? UNKNOWN : maker();
    if (made_by != UNKNOWN)
        pcn_copy_past_caches(to, from, length, made_by == INTEL ? PCN_FOURS : PCN_PAIRS);
    else if (length)
        memcpy(to, from, length);
}
