#include "copy.h"

#include <string.h>

#ifdef __SSE2__

#include <emmintrin.h>

#define PCN_COPY_PAGE 4096u
#define PCN_COPY_PAGES 4u /* side by side */
#define PCN_COPY_LINE 64u
#define PCN_COPY_AHEAD 128u /* bytes that are asked for in advance; no address is a wrong one */

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

/* Whole groups of pages, of which the target's begin at a line; returns the bytes copied. */
static uint64_t copy_past_caches(uint8_t *to, const uint8_t *from, uint64_t length)
{
    const uint64_t group = PCN_COPY_PAGES * PCN_COPY_PAGE;
    uint64_t done = 0;
    for (; length - done >= group; done += group)
        for (uint64_t line = done; line < done + PCN_COPY_PAGE; line += PCN_COPY_LINE)
            for (uint64_t page = 0; page < group; page += PCN_COPY_PAGE)
                copy_line(to + line + page, from + line + page);
    _mm_sfence(); /* these stores are ordered by nothing else */
    return done;
}

void pcn_copy(uint8_t *to, const void *from, uint64_t length)
{
    const uint8_t *bytes = from;
    if (length >= PCN_LEAST_PAST_CACHES) {
        uint64_t before = -(uintptr_t)to % PCN_COPY_LINE;
        memcpy(to, bytes, before);
        uint64_t done = before + copy_past_caches(to + before, bytes + before, length - before);
        to += done;
        bytes += done;
        length -= done;
    }
    if (length)
        memcpy(to, bytes, length);
}

#else

void pcn_copy(uint8_t *to, const void *from, uint64_t length)
{
    if (length)
        memcpy(to, from, length);
}

#endif
