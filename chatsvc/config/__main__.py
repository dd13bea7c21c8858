"""Print the README's table of options."""

from chatsvc.config.options import table

if __name__ == "__main__":
    print(table())
