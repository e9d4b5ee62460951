// A module as AssemblyScript makes them: its top-level code becomes a wasm start section, which runs
// before `_start`; strings are UTF-16; `assert` and `throw` end in the import env.abort; nothing is
// ever freed (stub runtime); the memory has a maximum of 65335 pages.
//
// State: /blocks/<height, decimal>  height u32, length of the block u32, 1 if the start section ran
//        /blocks                    how many were indexed, u32
// Views: echo   its input, the height in front of it, as it came
//        block  input: a height, u32; output: the first value above
//        count  the second
//        boom   fails in an assertion, with a message outside ASCII
//        throws fails in an exception
//        grow   input: pages, u32; output: the size of memory after growing by so many, -1 when
//               that cannot be, u32

@external("env", "__host_len") declare function __host_len(): i32;
@external("env", "__load_input") declare function __load_input(ptr: usize): void;
@external("env", "__get_len") declare function __get_len(key: usize): i32;
@external("env", "__get") declare function __get(key: usize, out: usize): void;
@external("env", "__flush") declare function __flush(ptr: usize): void;
@external("env", "__log") declare function __log(ptr: usize): void;

// Not a constant: this is what makes the compiler emit a start section.
let started: u32 = 0;
const names = new Map<string, u32>();
names.set("started", 1);
started = names.get("started");

function input(): ArrayBuffer {
  const bytes = new ArrayBuffer(__host_len());
  __load_input(changetype<usize>(bytes));
  return bytes;
}

function read(key: string): ArrayBuffer {
  const name = String.UTF8.encode(key);
  const value = new ArrayBuffer(__get_len(changetype<usize>(name)));
  __get(changetype<usize>(name), changetype<usize>(value));
  return value;
}

// One element of protobuf `repeated bytes list = 1`; `out` is a list of bytes.
function put(out: Array<u8>, bytes: ArrayBuffer): void {
  out.push(0x0a);
  let rest = <u32>bytes.byteLength;
  while (rest >= 0x80) {
    out.push(<u8>(rest | 0x80));
    rest >>= 7;
  }
  out.push(<u8>rest);
  for (let i = 0; i < bytes.byteLength; i++) {
    out.push(load<u8>(changetype<usize>(bytes) + i));
  }
}

function numbers(values: StaticArray<u32>): ArrayBuffer {
  const bytes = new ArrayBuffer(values.length * 4);
  for (let i = 0; i < values.length; i++) {
    store<u32>(changetype<usize>(bytes) + i * 4, values[i]);
  }
  return bytes;
}

export function _start(): void {
  const block = input();
  const height = load<u32>(changetype<usize>(block));
  const counted = read("/blocks");
  const count = counted.byteLength == 4 ? load<u32>(changetype<usize>(counted)) : 0;
  const list = new Array<u8>();
  put(list, String.UTF8.encode("/blocks/" + height.toString()));
  put(list, numbers([height, <u32>block.byteLength - 4, started]));
  put(list, String.UTF8.encode("/blocks"));
  put(list, numbers([count + 1]));
  const message = new ArrayBuffer(list.length);
  memory.copy(changetype<usize>(message), list.dataStart, list.length);
  __log(changetype<usize>(String.UTF8.encode("block " + height.toString() + " – done")));
  __flush(changetype<usize>(message));
}

export function echo(): usize {
  return changetype<usize>(input());
}

export function block(): usize {
  const height = load<u32>(changetype<usize>(input()), 4);
  return changetype<usize>(read("/blocks/" + height.toString()));
}

export function count(): usize {
  return changetype<usize>(read("/blocks"));
}

export function boom(): usize {
  assert(input().byteLength == 0, "message é 🦔");
  return 0;
}

export function throws(): usize {
  if (input().byteLength > 0) {
    throw new Error("thrown on purpose");
  }
  return 0;
}

export function grow(): usize {
  const pages = load<u32>(changetype<usize>(input()), 4);
  const before = memory.grow(<i32>pages);
  return changetype<usize>(numbers([before < 0 ? u32.MAX_VALUE : <u32>memory.size()]));
}
