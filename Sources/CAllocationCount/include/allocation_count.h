/// How many times the calling thread has allocated memory so far, by malloc, calloc, realloc or an aligned variant.
long allocation_count(void);
