"""Published experiments, each as one short recipe over the public API, with what came of it.

python -m examples.reproduce --list                    what there is
python -m examples.reproduce C4 --results mine         one row; its result goes to mine/C4.json
python -m examples.reproduce C --seeds 5               a section, the seeds that results/ lacks
python -m examples.reproduce all --quick               does everything work? Takes a minute
python -m examples.reproduce --docs                    docs/reproductions.md from the results

To add a row, add a file: c04_mnist1d.py is an example, recipe.py says what a recipe is.
"""
