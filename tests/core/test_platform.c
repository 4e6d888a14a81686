/* What is asked of the system: pages that are mapped before they are written. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform.h"

#define PAGES 1024u

/* How many of `pages` from there on are in this process's page table; -1: not to be known. */
static int mapped(const uint8_t *at, unsigned pages)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    int found = 0;
    for (unsigned i = 0; i < pages && fd >= 0; i++) {
        uint64_t entry;
        uint64_t number = (uintptr_t)at / pcn_page_size() + i;
        CHECK_EQ(pread(fd, &entry, sizeof entry, (off_t)(number * sizeof entry)), 8);
        found += entry >> 63 != 0;
    }
    if (fd < 0)
        return -1;
    close(fd);
    return found;
}

static void pages_are_mapped_ahead(void)
{
    uint64_t size = PAGES * pcn_page_size();
    int fd = pcn_memory_file("test", 2 * size);
    CHECK(fd >= 0);
    CHECK_EQ(pcn_reserve_pages(fd, 0, 2 * size), 0);
    uint8_t *base = pcn_map_shared(fd, 2 * size);
    CHECK(base != NULL);
    if (mapped(base, 1) < 0) {
        printf("(the page table can not be read here) ");
        return;
    }
    CHECK_EQ(mapped(base, 2 * PAGES), 0);
    pcn_map_ahead(base, PCN_LEAST_AHEAD - 1);
    CHECK_EQ(mapped(base, 2 * PAGES), 0); /* too little to be worth it */

    /* From the middle of a page to the middle of another: these, and no others. */
    pcn_map_ahead(base + size / 2 + 7, size / 2);
    CHECK_EQ(mapped(base, PAGES / 2), 0);
    CHECK_EQ(mapped(base + size / 2, PAGES / 2 + 1), (int)PAGES / 2 + 1);
    CHECK_EQ(mapped(base + size + pcn_page_size(), PAGES - 1), 0);

    /* What is there already keeps its bytes; what is not is put there. */
    memset(base + size / 2, 0x5a, size / 2);
    pcn_map_ahead(base, size);
    CHECK_EQ(mapped(base, PAGES), (int)PAGES);
    CHECK(base[size / 2] == 0x5a && base[size - 1] == 0x5a && base[0] == 0);
    pcn_unmap(base, 2 * size);
    pcn_close(fd);
}

static const struct check_case cases[] = {
    CHECK_CASE(pages_are_mapped_ahead),
};
CHECK_MAIN(cases)
