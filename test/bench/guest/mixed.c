/* mixed.c: a module whose blocks cost what real ones cost, with the published benchmark's view: the
 * samples balances.c and benchmark.c in one, for bench_mixed. */
#include "shrew_block.h"

#pragma push_macro("SHREW_INDEX")
#undef SHREW_INDEX
#define SHREW_INDEX() static void index_benchmark(void)
#include "../../../guest/samples/benchmark.c"
#undef SHREW_INDEX
#define SHREW_INDEX() static void index_balances(void)
#include "../../../guest/samples/balances.c"
#pragma pop_macro("SHREW_INDEX")

SHREW_INDEX() {
    index_benchmark();
    index_balances();
}
