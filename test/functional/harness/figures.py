"""The figures of a long run: tools/torture calls this with the file that the tests wrote to, the
file to make, the seed, the seconds and pytest's exit status."""
import json
import sys


def main(lines, out, seed, seconds, status):
    found = [json.loads(line) for line in open(lines, encoding="utf-8")]
    figures = {one.pop("name"): one for one in sorted(found, key=lambda one: one["name"])}
    for one in figures.values():
        one.pop("seed", None)
    whole = {"seed": int(seed), "seconds": int(seconds), "passed": status == "0",
             "tests": figures}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(whole, file, indent=2)
        file.write("\n")
    width = max([len(name) for name in figures], default=0)
    for name, values in figures.items():
        print(f"{name:{width}}  " + ", ".join(f"{key.replace('_', ' ')} {value}"
                                              for key, value in values.items()))
    print(f"{'passed' if whole['passed'] else 'FAILED'} after {seconds} s, seed {seed}: {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
