#pragma once
#include <stdint.h>

// How often this process has asked for memory so far, on all threads; 0 where the C library cannot be counted.
uint64_t tidemark_allocation_count(void);
