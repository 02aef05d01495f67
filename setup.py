import pathlib
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies ``configs/`` into the package, where they are found in any folder."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = pathlib.Path(self.build_lib) / "sparse_gf" / "configs"
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree("configs", target, ignore=ignore, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
