// For the few functions of args.h: every instruction set compiles them, so none may be
// left for the linker to pick one copy of.
#pragma once

#define FNN_INLINE inline __attribute__((always_inline))
