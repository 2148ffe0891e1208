"""`python -m tests.defects`: each defect and its tests."""

from . import DEFECTS, RIGHT_AS_IT_IS, mapping

tests = mapping()
for key, sentence in DEFECTS.items():
    print(f"{key:7} {sentence}")
    for test in tests.get(key, []):
        print(f"          {test}")
    if key in RIGHT_AS_IT_IS:
        print(f"          right as it is: {RIGHT_AS_IT_IS[key]}")
