import sys

from gdstudy.figures import main

sys.exit(main())
