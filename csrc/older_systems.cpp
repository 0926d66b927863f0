#include <sstream>

// What compiled headers of the standard library take from a libstdc++ and a glibc that are newer than those torch's own
// wheels need is defined here, so that a library compiled on a new system also loads on an older one.

// The members of string streams that came with GCC 9 and 11.
template class std::basic_stringbuf<char>;
template class std::basic_stringstream<char>;
template class std::basic_ostringstream<char>;

// Of glibc 2.32, read by std::shared_ptr: has the process one thread only? It is said to have more, so references are
// always counted atomically.
extern "C" {
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
}
